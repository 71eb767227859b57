//! The program `kafclaw`. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    kafclaw::cli::main()
}
