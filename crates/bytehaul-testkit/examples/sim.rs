//! Prints how close the scheduler comes to the best possible time on every path of the virtual network.

fn main() {
    print!("{}", bytehaul_testkit::sim::report());
}
