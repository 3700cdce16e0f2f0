//! The fuzzer's bytes as choices and numbers.

/// Bytes of the fuzzer's choice, and zeros when they are used up.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Small numbers are likely, and the largest ones possible.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX - u64::from(self.byte()),
            high => (u64::from(high) << 8 | u64::from(self.byte())) << (self.byte() % 16),
        }
    }
}
