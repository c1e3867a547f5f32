//! The program `orlop`: a call of the library.

mod heap;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

fn main() -> std::process::ExitCode {
    orlop::cli::main()
}
