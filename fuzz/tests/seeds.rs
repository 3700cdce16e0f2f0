//! Every target on its seeds and on a thousand damaged ones: what can be had without an instrumented build.

use std::fs;
use std::path::Path;

use bytehaul_fuzz::{TARGETS, Target, mutations};

#[test]
fn seeds_and_damaged_seeds() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in &seeds {
            run(name, target, seed);
        }
        for input in mutations(&seeds, 1000) {
            run(name, target, &input);
        }
    }
}

fn run(name: &str, target: Target, input: &[u8]) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        panic!("{name}: {}", input.escape_ascii());
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
