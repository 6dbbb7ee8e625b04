//! Random bytes from a seed that a failing test prints.

/// A small generator (xorshift64*), the same everywhere for one seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with a seed of its own, which is printed with the output of a failing test.
    #[must_use]
    pub fn new() -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let seed = u64::try_from(now & u128::from(u64::MAX)).unwrap() | 1;
        println!("random seed {seed}");
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
