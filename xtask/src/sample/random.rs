//! Random numbers that are the same on every machine: xoshiro256++, seeded by splitmix64.
//!
//! Both are by David Blackman and Sebastiano Vigna, in the public domain: <https://prng.di.unimi.it>.

/// Draws random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    /// Starts the sequence of this seed.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        let mut counter = seed;
        Self { state: [(); 4].map(|()| split_mix(&mut counter)) }
    }

    /// Starts the sequence that belongs to one item of a seed; neighbours have nothing in common.
    #[must_use]
    pub(super) fn of_item(seed: u64, item: u64) -> Self {
        let mut counter = item;
        Self::new(seed ^ split_mix(&mut counter))
    }

    /// Draws 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }

    /// Draws a random UUID (version 4) as text.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        let version = (high & 0x0fff) | 0x4000;
        let variant = (low >> 48 & 0x3fff) | 0x8000;
        let node = low & 0xffff_ffff_ffff;
        format!("{:08x}-{:04x}-{version:04x}-{variant:04x}-{node:012x}", high >> 32, high >> 16 & 0xffff)
    }
}

fn split_mix(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*counter ^ (*counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Random, split_mix};

    #[test]
    fn splitmix_draws_the_published_numbers() {
        let mut counter = 1_234_567;
        let drawn = [(); 3].map(|()| split_mix(&mut counter));
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn xoshiro_draws_the_published_numbers() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let drawn = [(); 4].map(|()| random.next_u64());
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn a_uuid_names_its_version_and_variant() {
        let uuid = Random::of_item(7, 1).uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, Random::of_item(7, 2).uuid());
    }
}
