//! Numbers that look like chance and are the same each time.

/// A generator that a test can be run again with.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Less than `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    /// Up to `most` letters of an alphabet, at least one.
    pub(crate) fn word(&mut self, alphabet: &str, most: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let len = 1 + self.roll(most);
        (0..len).map(|_| self.pick(&letters)).collect()
    }

    /// A name that a blob may have and that is hard to write: spaces, plus, percent, slashes side by side, other alphabets.
    pub(crate) fn blob(&mut self) -> String {
        loop {
            let name = match self.roll(8) {
                0 => self.word("ab/", 1024),
                1 => format!("{}//{}", self.word("ab", 5), self.word("c d", 5)),
                2 => self.word("%25+ 2F", 12),
                3 => self.word("üñ漢字😀é", 256),
                _ => self.word("abzAZ09 +%/&=?#'\"<>()[]{}!$*,;:@~^|`\\._-üß漢😀", 60),
            };
            if name.len() <= 1024 && name.split('/').all(|part| part != "." && part != "..") {
                return name;
            }
        }
    }
}
