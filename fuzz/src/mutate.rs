//! Small damage to known inputs, the same on every run: a fuzzer's poor relation for the ordinary tests.

/// `count` inputs, each made from one of the seeds by a few random edits.
pub fn mutations(seeds: &[Vec<u8>], count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(0x5eed);
    (0..count).filter_map(move |_| {
        let mut input = seeds.get(random.below(seeds.len()))?.clone();
        for _ in 0..=random.below(4) {
            edit(&mut input, seeds, &mut random);
        }
        Some(input)
    })
}

fn edit(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(6) {
        0 => input.truncate(at),
        1 => input.insert(at, INTERESTING[random.below(INTERESTING.len())]),
        2 => input.insert(at, random.byte()),
        3 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.splice(at.., other[from..].iter().copied());
        }
        _ if at == input.len() => input.push(random.byte()),
        4 => input[at] ^= 1 << random.below(8),
        _ => {
            input.remove(at);
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

const INTERESTING: &[u8] = b"\0 \"%'*,-./0129:;=?@\\\xff";
