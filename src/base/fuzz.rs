//! Hostile inputs for tests of decoders: good files, changed where it hurts, many thousand times; and how much of the heap reading
//! one of them takes.
//!
//! Every run makes the same cases. A case that fails is told by its number; [`Seed::case`] makes it again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Cases of one run. A debug build does a tenth, so that tests stay a matter of seconds.
pub const CASES: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
/// Changes of one case.
const CHANGES_MAX: usize = 4;
/// What one change adds or takes away.
const SPAN_BYTES_MAX: usize = 64;

/// Numbers that go wrong in readers: ends of ranges, signs, powers of two and their neighbors, sums that wrap around.
const LIES: [u64; 18] = [
    0,
    1,
    2,
    3,
    7,
    0x7f,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    u64::MAX - 7,
    u64::MAX,
];

/// Numbers that look random and are the same every time (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn of(number: u64) -> Self {
        Self(number.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, which is not reached; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % (end.max(1) as u64)) as usize
    }
}

/// A good file, and where its numbers stand: four or eight bytes that make a small one, two in a row of bytes, and runs of digits.
#[derive(Debug)]
pub struct Seed {
    bytes: Vec<u8>,
    /// Length of what describes the rest; lies are told there.
    head: usize,
    /// Place and width.
    numbers: Vec<(usize, usize)>,
}

impl Seed {
    /// `head` bytes of `bytes` describe the others.
    pub fn new(bytes: Vec<u8>, head: usize) -> Self {
        let is_small = |at: usize, width: usize| {
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(&bytes[at..at + width]);
            (1..=4 * bytes.len() as u64).contains(&u64::from_le_bytes(wide))
        };
        let is_there = |(at, width): &(usize, usize)| at + width <= head.min(bytes.len()) && is_small(*at, *width);
        let numbers = (0..head).flat_map(|at| [(at, 8), (at, 4), (at, 2)]).filter(is_there).collect();
        Self { numbers, head, bytes }
    }

    /// The file with a few changes; the same for the same number.
    pub fn case(&self, number: u64) -> Vec<u8> {
        let mut dice = Dice::of(number);
        let mut bytes = self.bytes.clone();
        for _ in 0..=dice.below(CHANGES_MAX) {
            self.change(&mut bytes, &mut dice);
        }
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let (len, head) = (bytes.len(), self.head.min(bytes.len()));
        match dice.below(10) {
            0..=3 => self.tell_a_lie(bytes, dice),
            4 => lie_in_digits(bytes, head, dice),
            5 if head > 0 => bytes[dice.below(head)] = dice.roll() as u8,
            6 if head > 0 => bytes[dice.below(head)] ^= 1 << dice.below(8),
            7 => bytes.truncate(dice.below(len)),
            8 => {
                // Something stands there twice, or among others.
                let from = dice.below(len);
                let span = bytes[from..len.min(from + 1 + dice.below(SPAN_BYTES_MAX))].to_vec();
                let at = dice.below(len);
                bytes.splice(at..at, span);
            }
            _ if len > 0 => {
                let from = dice.below(len);
                bytes.drain(from..len.min(from + 1 + dice.below(SPAN_BYTES_MAX)));
            }
            _ => {}
        }
    }

    fn tell_a_lie(&self, bytes: &mut [u8], dice: &mut Dice) {
        let (at, width) = self.numbers.get(dice.below(self.numbers.len())).copied().unwrap_or((0, 0));
        let Some(place) = bytes.get_mut(at..at + width) else { return };
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(place);
        let value = match dice.below(4) {
            0 => u64::from_le_bytes(wide).wrapping_add(1),
            1 => u64::from_le_bytes(wide).wrapping_sub(1),
            2 => self.bytes.len() as u64 - dice.below(16) as u64,
            _ => LIES[dice.below(LIES.len())],
        };
        place.copy_from_slice(&value.to_le_bytes()[..width]);
    }
}

/// Puts another number where digits stand.
fn lie_in_digits(bytes: &mut Vec<u8>, head: usize, dice: &mut Dice) {
    let from = dice.below(head);
    let Some(start) = (from..head).find(|at| bytes[*at].is_ascii_digit()) else { return };
    let end = (start..head).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(head);
    bytes.splice(start..end, LIES[dice.below(LIES.len())].to_string().into_bytes());
}

/// Runs `check` on [`CASES`] cases of all `seeds` in turns, and says at which one it panicked.
pub fn run(seeds: &[Seed], mut check: impl FnMut(u64, Vec<u8>)) {
    struct Number(u64);
    impl Drop for Number {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("case {} failed", self.0);
            }
        }
    }
    for number in 0..CASES {
        let told = Number(number);
        check(number, seeds[(number % seeds.len() as u64) as usize].case(number));
        drop(told);
    }
}

thread_local! {
    /// Bytes of the heap that this thread took and did not give back, and the most there were.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The most of the heap that `act` had at once, in bytes, on this thread.
pub fn heap_peak<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let answer = act();
    (answer, usize::try_from(PEAK.get() - before).unwrap_or_default())
}

/// The system's allocator, with a count for every thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

#[allow(unsafe_code, reason = "only an allocator sees what is allocated")]
// SAFETY: all is done by the system's allocator; cells of numbers allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_the_same_every_time_and_most_differ() {
        let seed = Seed::new(b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0 \"size\": 12, and the rest of it".to_vec(), 30);
        let cases: std::collections::HashSet<_> = (0..500).map(|number| seed.case(number)).collect();
        assert!((0..500).all(|number| cases.contains(&seed.case(number))) && cases.len() > 400, "{}", cases.len());
        assert!(seed.numbers.contains(&(4, 4)) && seed.numbers.contains(&(8, 8)), "{:?}", seed.numbers);
        assert!(cases.iter().any(|case| case.windows(10).any(|part| part == b"4294967296")));
    }

    #[test]
    fn the_heap_is_counted_where_it_was_fullest() {
        let (_, peak) = heap_peak(|| {
            drop(vec![1_u8; 100_000]);
            vec![1_u8; 10]
        });
        assert!((100_000..110_000).contains(&peak), "{peak}");
    }
}
