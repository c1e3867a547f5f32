//! The program's heap: a runtime lives for a few milliseconds, or waits for hours without allocating.
//!
//! musl's allocator uses a separate page for each size class, maps and unmaps pages for each larger
//! buffer, and checks for misuse by C code: a quarter of the time that `run` spent in user space.
//! This allocator takes memory from the end of one region, keeps freed blocks in a list for each
//! size, and returns only blocks above 64 KiB to the kernel.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// The size of the first region, in the program's .bss: enough for most commands. Untouched pages
/// cost nothing.
const FIRST: usize = 256 << 10;
/// The size of further regions, which are mapped.
const NEXT: usize = 1 << 20;
/// Sizes up to here are multiples of [`GRAIN`], above it powers of two.
const SMALL: usize = 512;
const GRAIN: usize = 16;
const SMALL_CLASSES: usize = SMALL / GRAIN;
/// The largest size with a list; a larger block has a mapping of its own.
const LARGEST: usize = 64 << 10;
const CLASSES: usize = SMALL_CLASSES + 7;

/// The program's `#[global_allocator]`. The bookkeeping lies before the blocks, so that the first
/// blocks share its page.
#[allow(missing_debug_implementations)] // Formatting would allocate.
#[repr(C, align(16))]
pub(crate) struct Heap {
    locked: AtomicBool,
    books: UnsafeCell<Books>,
    first: UnsafeCell<[u8; FIRST]>,
}

/// A freed block holds the address of the next one of its size.
struct Free {
    next: *mut Free,
}

struct Books {
    /// The start of the region's free part, null before the first allocation, and its length in
    /// bytes.
    from: *mut u8,
    left: usize,
    lists: [*mut Free; CLASSES],
}

// SAFETY: `books` and `first` are only touched while `locked` is held.
unsafe impl Sync for Heap {}

impl Heap {
    /// An unused heap.
    #[allow(clippy::new_without_default)] // A static needs a constant.
    pub(crate) const fn new() -> Heap {
        Heap {
            locked: AtomicBool::new(false),
            books: UnsafeCell::new(Books { from: null_mut(), left: 0, lists: [null_mut(); CLASSES] }),
            first: UnsafeCell::new([0; FIRST]),
        }
    }

    /// A block of the list for `layout`, or a new one.
    fn take(&self, layout: &Layout) -> *mut u8 {
        let (list, size) = class(layout.size());
        self.with(|books| {
            let free = books.lists[list];
            if free.is_null() || !has_list(layout) {
                return self.cut(books, size, layout.align().max(GRAIN));
            }
            // SAFETY: a list holds unused blocks of at least 16 bytes; the first word of each is the address of the next.
            books.lists[list] = unsafe { (*free).next };
            free.cast()
        })
    }

    /// Puts a freed block into its list.
    fn give_back(&self, block: *mut u8, layout: &Layout) {
        let (list, size) = class(layout.size());
        self.with(|books| {
            if block.wrapping_add(size) == books.from {
                (books.from, books.left) = (block, books.left + size);
                return;
            }
            let free: *mut Free = block.cast();
            // SAFETY: the block is ours again, has at least 16 bytes and their alignment.
            unsafe { free.write(Free { next: books.lists[list] }) };
            books.lists[list] = free;
        });
    }

    /// Resizes the last block of the region in place; returns whether it could.
    fn resize_last(&self, block: *mut u8, old_size: usize, new_size: usize) -> bool {
        let (old, new) = (class(old_size).1, class(new_size).1);
        self.with(|books| {
            if block.wrapping_add(old) != books.from || new > old + books.left {
                return false;
            }
            (books.from, books.left) = (block.wrapping_add(new), books.left + old - new);
            true
        })
    }

    #[inline(always)]
    fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is held, so there is no other reference.
        let result = act(unsafe { &mut *self.books.get() });
        self.locked.store(false, Ordering::Release);
        result
    }

    /// New memory from the region; null if none can be mapped.
    fn cut(&self, books: &mut Books, size: usize, align: usize) -> *mut u8 {
        // `align` is a power of two.
        let offset = |from: *mut u8| (from as usize).wrapping_neg() & (align - 1);
        if books.from.is_null() {
            (books.from, books.left) = (self.first.get().cast(), FIRST);
        }
        if offset(books.from) + size > books.left {
            let length = NEXT.max(size + align);
            let mapped = map(length);
            if mapped.is_null() {
                return mapped;
            }
            (books.from, books.left) = (mapped, length);
        }
        let before = offset(books.from);
        // SAFETY: `before + size` bytes are left in the region that `from` points into.
        let (start, rest) = unsafe { (books.from.add(before), books.from.add(before + size)) };
        (books.from, books.left) = (rest, books.left - before - size);
        start
    }
}

/// The list of blocks of at least `size` bytes, and the size of its blocks.
#[inline(always)]
fn class(size: usize) -> (usize, usize) {
    if size <= SMALL {
        let grains = size.max(1).div_ceil(GRAIN);
        return (grains - 1, grains * GRAIN);
    }
    let block = size.next_power_of_two();
    ((block / SMALL).trailing_zeros() as usize - 1 + SMALL_CLASSES, block)
}

#[inline(always)]
fn has_mapping(layout: &Layout) -> bool {
    layout.size() > LARGEST
}

/// The lists have blocks of the usual alignment. A block with a larger alignment is not reused.
#[inline(always)]
fn has_list(layout: &Layout) -> bool {
    layout.align() <= GRAIN
}

/// Maps zeroed pages; null on failure.
fn map(size: usize) -> *mut u8 {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping touches no memory that is in use.
    let start = unsafe { libc::mmap(null_mut(), size, access, flags, -1, 0) };
    if start == libc::MAP_FAILED { null_mut() } else { start.cast() }
}

/// Ends the command as a panic does, with a message and an exit code: the standard library would end it by SIGABRT.
#[cold]
fn no_memory(size: usize) -> ! {
    panic!("{size} bytes of memory: cannot allocate memory (ENOMEM)")
}

// SAFETY: every block is cut from a region or mapped once, is as large and as aligned as its layout says, and is in a list
// only between `dealloc` and `alloc`. Nothing here unwinds (a panic aborts in this
// program) or allocates while the lock is held.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = match has_mapping(&layout) {
            true if layout.align() <= 4096 => map(layout.size()),
            true => null_mut(),
            false => self.take(&layout),
        };
        if block.is_null() {
            no_memory(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if has_mapping(&layout) {
            // SAFETY: the mapping is the one that `alloc` made for this layout, and the caller gives it up.
            unsafe { libc::munmap(block.cast(), layout.size()) };
        } else if has_list(&layout) {
            self.give_back(block, &layout);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else { return null_mut() };
        if !has_mapping(&layout) && !has_mapping(&new) {
            let same = class(layout.size()).1 == class(new_size).1;
            if same || self.resize_last(block, layout.size(), new_size) {
                return block;
            }
        }
        // SAFETY: the layout is a valid one of `new_size` bytes, which is not zero.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both blocks are live, do not overlap, and have at least as many bytes as are copied.
            unsafe {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_block_is_large_enough_and_has_the_list_of_its_own_size() {
        for size in 1..=LARGEST {
            let (list, block) = class(size);
            assert!(block >= size && list < CLASSES, "{size}");
            assert_eq!(class(block), (list, block), "{size}");
        }
        assert_ne!(class(SMALL).0, class(SMALL + 1).0);
    }

    #[test]
    fn the_last_block_changes_its_size_where_it_lies_and_no_other_does() {
        static HEAP: Heap = Heap::new();
        // SAFETY: the sizes are not zero; each block is live, and of the layout that is given.
        unsafe {
            let first = HEAP.alloc(layout(100, 1));
            let last = HEAP.alloc(layout(100, 1));
            assert_eq!(HEAP.realloc(last, layout(100, 1), 5000), last);
            assert_eq!(HEAP.realloc(last, layout(5000, 1), 40), last);
            // A freed block is reused.
            let next = HEAP.alloc(layout(100, 1));
            assert_eq!(next, last.add(48));
            assert_ne!(HEAP.realloc(first, layout(100, 1), 5000), first);
        }
    }

    #[test]
    fn no_two_live_blocks_share_a_byte_and_each_keeps_its_bytes() {
        static HEAP: Heap = Heap::new();
        let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut seed = 1u32;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        for round in 0..20_000 {
            if live.len() > 200 || (!live.is_empty() && random(3) == 0) {
                let (block, layout, mark) = live.swap_remove(random(live.len()));
                // SAFETY: the block is live and of this layout.
                let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
                assert!(bytes.iter().all(|byte| *byte == mark));
                // SAFETY: as above, and it is not used again.
                unsafe { HEAP.dealloc(block, layout) };
                continue;
            }
            let mark = round as u8;
            let size = if random(50) == 0 { 1 + random(200_000) } else { 1 + random(2_000) };
            let mut layout = layout(size, 1 << random(7));
            // SAFETY: the size is not zero.
            let mut block = unsafe { HEAP.alloc(layout) };
            assert_eq!(block as usize % layout.align(), 0);
            // SAFETY: the block is live and that large.
            unsafe { block.write_bytes(mark, layout.size()) };
            if random(4) == 0 {
                let grown = self::layout(1 + random(3_000), layout.align());
                // SAFETY: the block is live and of this layout; the new size is not zero.
                block = unsafe { HEAP.realloc(block, layout, grown.size()) };
                let kept = layout.size().min(grown.size());
                // SAFETY: the block is live and at least that large.
                assert!(unsafe { std::slice::from_raw_parts(block, kept) }.iter().all(|byte| *byte == mark));
                layout = grown;
                // SAFETY: the block is live and that large.
                unsafe { block.write_bytes(mark, layout.size()) };
            }
            live.push((block, layout, mark));
        }
    }

    #[test]
    fn what_is_given_back_is_used_again() {
        static HEAP: Heap = Heap::new();
        // SAFETY: each block is given back once, with its layout.
        unsafe {
            let held = HEAP.alloc(layout(100, 8));
            let first = HEAP.alloc(layout(48, 8));
            let last = HEAP.alloc(layout(48, 8));
            HEAP.dealloc(first, layout(48, 8));
            assert_eq!(HEAP.alloc(layout(40, 8)), first);
            HEAP.dealloc(last, layout(48, 8));
            assert_eq!(HEAP.alloc(layout(33, 8)), last);
            HEAP.dealloc(held, layout(100, 8));
        }
    }
}
