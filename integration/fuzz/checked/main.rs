//! The program `orlop` with the system's allocator, which AddressSanitizer watches.

fn main() -> std::process::ExitCode {
    orlop::cli::main()
}
