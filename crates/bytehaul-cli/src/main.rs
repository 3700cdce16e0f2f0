//! The `bytehaul` command.
fn main() {}
