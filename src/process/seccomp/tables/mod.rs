//! System call numbers by name, for the architectures that a kernel for this build's target can
//! report.
//!
//! `generate.py` writes the rows from the kernel's headers. The compiler rearranges them: all names
//! in one string, which needs no relocations at the start of the program, and the numbers in an
//! array beside it.

#[cfg(any(test, target_arch = "aarch64"))]
pub(super) mod arm;
#[cfg(any(test, target_arch = "riscv64"))]
pub(super) mod riscv;
#[cfg(any(test, target_arch = "x86_64"))]
pub(super) mod x86;

#[cfg(target_arch = "aarch64")]
use arm::ROWS;
#[cfg(target_arch = "riscv64")]
use riscv::ROWS;
#[cfg(target_arch = "x86_64")]
use x86::ROWS;

/// The number of a system call that the architecture does not have.
pub(super) const NONE: u16 = u16::MAX;

const ROW_COUNT: usize = ROWS.len();
const COLUMN_COUNT: usize = ROWS[0].1.len();

static NAMES: [u8; names_length()] = names();
/// The start of each name in `NAMES`, and the end of the last one.
static STARTS: [u16; ROW_COUNT + 1] = starts();
static NUMBERS: [[u16; COLUMN_COUNT]; ROW_COUNT] = numbers();
/// Whether each system call has a multiplexer, too.
static MULTIPLEXED: [bool; ROW_COUNT] = multiplexed();

/// The index of a system call in the tables.
#[derive(Clone, Copy, Default)]
pub(super) struct Row(usize);

impl Row {
    /// Finds the row of `name`. Most profiles are sorted, so the rows after `previous` are tried
    /// first.
    pub(super) fn find(name: &str, previous: Row) -> Option<Row> {
        let near = (previous.0..ROW_COUNT.min(previous.0 + 8)).find(|&row| name_of(row) == name.as_bytes());
        let found = near.or_else(|| search(name.as_bytes()));
        found.map(Row)
    }

    /// Whether the system call has a multiplexer, too.
    pub(super) fn is_multiplexed(self) -> bool {
        MULTIPLEXED[self.0]
    }

    /// The number of the system call on the architecture of `column`, as in the kernel's header.
    pub(super) fn number(self, column: usize) -> Option<u16> {
        Some(NUMBERS[self.0][column]).filter(|&number| number != NONE)
    }
}

/// The names of the system calls of all architectures, sorted.
pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
    (0..ROW_COUNT).filter_map(|row| str::from_utf8(name_of(row)).ok())
}

fn name_of(row: usize) -> &'static [u8] {
    &NAMES[usize::from(STARTS[row])..usize::from(STARTS[row + 1])]
}

fn search(name: &[u8]) -> Option<usize> {
    let (mut low, mut high) = (0, ROW_COUNT);
    while low < high {
        let middle = low.midpoint(high);
        match name_of(middle).cmp(name) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

const fn multiplexed() -> [bool; ROW_COUNT] {
    let (mut found, mut row) = ([false; ROW_COUNT], 0);
    while row < ROW_COUNT {
        found[row] = super::multiplex::has(ROWS[row].0.as_bytes());
        row += 1;
    }
    found
}

const fn names_length() -> usize {
    let (mut length, mut row) = (0, 0);
    while row < ROW_COUNT {
        length += ROWS[row].0.len();
        row += 1;
    }
    length
}

const fn names() -> [u8; names_length()] {
    let mut names = [0; names_length()];
    let (mut at, mut row) = (0, 0);
    while row < ROW_COUNT {
        let name = ROWS[row].0.as_bytes();
        let mut letter = 0;
        while letter < name.len() {
            names[at] = name[letter];
            at += 1;
            letter += 1;
        }
        row += 1;
    }
    names
}

const fn starts() -> [u16; ROW_COUNT + 1] {
    let mut starts = [0; ROW_COUNT + 1];
    let mut row = 0;
    while row < ROW_COUNT {
        starts[row + 1] = starts[row] + ROWS[row].0.len() as u16;
        row += 1;
    }
    starts
}

const fn numbers() -> [[u16; COLUMN_COUNT]; ROW_COUNT] {
    let mut numbers = [[NONE; COLUMN_COUNT]; ROW_COUNT];
    let mut row = 0;
    while row < ROW_COUNT {
        numbers[row] = ROWS[row].1;
        row += 1;
    }
    numbers
}
