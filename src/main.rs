//! The program `kafclaw`. Everything it does is in the library.

fn main() -> ! {
    kafclaw::cli::main()
}
