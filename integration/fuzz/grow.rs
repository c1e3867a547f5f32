//! A mutation that libFuzzer lacks: a part of the input repeated until the input is long, which is
//! how a parser's stack and its time come to depend on who wrote the input.

use libfuzzer_sys::fuzzer_mutate;

/// One mutation in this many repeats a part.
const SELDOM: u32 = 256;

/// Changes `data`, of which the first `size` bytes are the input, and returns its new length.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let random = |step: u32| seed.rotate_left(step).wrapping_mul(0x9e37_79b9) as usize;
    if !seed.is_multiple_of(SELDOM) || size == 0 || most < 2 * size {
        return fuzzer_mutate(data, size, most);
    }
    let start = random(3) % size;
    let length = 1 + random(7) % (size - start).min(16);
    let part = data[start..start + length].to_vec();
    let rest = data[start..size].to_vec();
    let room = most - size;
    let times = 1 + random(11) % (room / length).max(1);
    let grown: Vec<u8> = part.iter().copied().cycle().take(length * times).take(room).collect();
    data[start..start + grown.len()].copy_from_slice(&grown);
    data[start + grown.len()..start + grown.len() + rest.len()].copy_from_slice(&rest);
    size + grown.len()
}
