//! The scripted server by hand: an object at `/file.bin`, as slow and as hostile as the arguments say.
//!
//! `cargo run --release -p bytehaul-testkit --example serve -- --size 134217728 --rate 4194304 --stall 4`

use std::io;
use std::time::Duration;

use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};
use clap::Parser;

/// Serves a random object until its standard input ends, then prints what was asked of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on loopback; 0 finds a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Seed of the content and of all that happens by chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of the object in bytes.
    #[arg(long, default_value_t = 128 << 20)]
    size: u64,
    /// Bytes a second for each connection.
    #[arg(long)]
    rate: Option<u64>,
    /// Bytes a second over all connections.
    #[arg(long)]
    total_rate: Option<u64>,
    /// Milliseconds before each answer.
    #[arg(long)]
    latency: Option<u64>,
    /// One connection in so many is ten times slower (needs `--rate`).
    #[arg(long, requires = "rate")]
    straggler: Option<u64>,
    /// One connection in so many stalls for good after 1 MiB.
    #[arg(long)]
    stall: Option<u64>,
    /// Every answer is reset after a random number of bytes below this.
    #[arg(long)]
    reset_within: Option<u64>,
    /// More requests at once than this draw a 429.
    #[arg(long)]
    at_once: Option<usize>,
    /// Answer every range with the whole object.
    #[arg(long)]
    no_ranges: bool,
}

impl Arguments {
    fn behaviour(&self) -> Behaviour {
        let mut behaviour = Behaviour::new();
        if let Some(rate) = self.rate {
            behaviour = behaviour.rate(rate);
            if let Some(every) = self.straggler {
                behaviour = behaviour.when(
                    When::Connections { every, index: 0 },
                    Effect::Rate(rate / 10),
                );
            }
        }
        if let Some(rate) = self.total_rate {
            behaviour = behaviour.total_rate(rate);
        }
        if let Some(latency) = self.latency {
            behaviour = behaviour.latency(Duration::from_millis(latency));
        }
        if let Some(every) = self.stall {
            behaviour = behaviour.when(
                When::Connections { every, index: 0 },
                Effect::StallAfter(1 << 20),
            );
        }
        if let Some(most) = self.reset_within {
            behaviour = behaviour.always(Effect::ResetWithin(0..most));
        }
        if let Some(most) = self.at_once {
            behaviour = behaviour.when(When::Above(most), Effect::status(429));
        }
        if self.no_ranges {
            behaviour = behaviour.always(Effect::IgnoreRange);
        }
        behaviour
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let server = Server::builder()
        .port(arguments.port)
        .seed(arguments.seed)
        .spawn_thread()?;
    let object = Object::random(arguments.seed, arguments.size).behaviour(arguments.behaviour());
    server.serve("/file.bin", object);
    println!("{}", server.url("/file.bin"));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    for request in server.requests() {
        println!(
            "{:>9.3} s  connection {:>3}  {} {}  {}  {}: {} bytes",
            request.at.as_secs_f64(),
            request.connection,
            request.method,
            request.target,
            request.header("range").unwrap_or("whole"),
            request.status,
            request.sent,
        );
    }
    println!(
        "{} connections, {} bytes sent",
        server.connections(),
        server.bytes_sent()
    );
    Ok(())
}
