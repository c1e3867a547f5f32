//! The program `orlop`; all of it is in the library.

mod heap;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

fn main() -> std::process::ExitCode {
    orlop::cli::main()
}
