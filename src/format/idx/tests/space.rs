//! The space that the payloads are, page by page.

use super::*;
use crate::format::idx::pages::{PAYLOAD_BYTES, Space, Writer, file_bytes, file_offset, page_check, seal};

const SALT: u64 = 0x5A17_5A17_5A17_5A17;

/// A file whose space holds these bytes from a place on, and zeros before.
fn file(at: u64, bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0; file_bytes(at + bytes.len() as u64) as usize];
    Writer::new(&mut file, at).put(bytes);
    seal(&mut file, SALT);
    file
}

fn some(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 + 1).collect()
}

#[test]
fn lengths_and_places_are_those_of_the_page_of_the_format() {
    assert_eq!([0, 1, 4064, 4065, 8128].map(file_bytes), [4096, 8192, 8192, 12288, 12288]);
    assert_eq!([0, 1, 4063, 4064, 8130].map(file_offset), [4096, 4097, 8159, 8192, 12290]);
    let page = [7; PAGE_BYTES];
    for offset in [4096, 8192, 3 << 12] {
        let check = xxhash_rust::xxh3::xxh3_64_with_seed(&page[..4088], SALT ^ offset);
        assert_eq!(page_check(&page, SALT, offset), check);
    }
}

#[test]
fn what_is_put_is_read_wherever_it_stands() {
    for at in [0, 1, 4063, 4064, 5000] {
        for len in [0, 1, 4063, 4064, 4065, 3 * 4064, 10_000] {
            let (bytes, checked) = (some(len), Checked::new(40_960));
            let file = file(at, &bytes);
            let space = Space::new(&file, SALT, &checked);
            assert_eq!(space.copy(at, len as u64).unwrap(), bytes, "{len} at {at}");
            for index in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|index| *index < len) {
                assert_eq!(space.u8(at + index as u64).unwrap(), bytes[index]);
            }
            space.check_all().unwrap();
        }
    }
    let mut file = vec![0; file_bytes(4064 + 96) as usize];
    let numbers: Vec<u32> = (1..=25).collect();
    Writer::new(&mut file, 4064 - 4).put_all(&numbers, u32::to_le_bytes);
    seal(&mut file, SALT);
    let checked = Checked::new(file.len() as u64);
    let space = Space::new(&file, SALT, &checked);
    let read: Vec<u32> = (0..25).map(|index| space.u32(4064 - 4 + index * 4).unwrap()).collect();
    assert_eq!(read, numbers);
}

#[test]
fn what_lies_beyond_the_file_or_its_pages_is_an_error() {
    let file = file(0, &some(2 * PAYLOAD_BYTES));
    let checked = Checked::new(file.len() as u64);
    let space = Space::new(&file, SALT, &checked);
    let end = 2 * PAYLOAD_BYTES as u64;
    assert!(space.u64(end - 8).is_ok() && space.array::<4>(end - 4).is_ok());
    for at in [end - 7, end, end + 9, PAYLOAD_BYTES as u64 - 1] {
        assert_eq!(space.u64(at).unwrap_err().offset, file.len() as u64, "across a page or the end, at {at}");
    }
    assert_eq!(space.u64(PAYLOAD_BYTES as u64 - 1).unwrap_err().expected, "page 2 of an index");
    assert_eq!(space.copy(end - 3, 4).unwrap_err().offset, file.len() as u64);

    let cut = &file[2 * PAGE_BYTES..file.len() - 1];
    assert_eq!(check_page(cut, SALT, 2 * PAGE_BYTES as u64).unwrap_err().offset, file.len() as u64 - 1);
    let mut damaged = file.clone();
    damaged[2 * PAGE_BYTES + 9] ^= 1;
    let checked = Checked::new(file.len() as u64);
    let space = Space::new(&damaged, SALT, &checked);
    assert_eq!(space.u8(PAYLOAD_BYTES as u64 + 9).unwrap_err().offset, 3 * PAGE_BYTES as u64 - 8);
    assert!(space.u8(9).is_ok());
    assert!(space.check_all().is_err());
}

/// A page is taken for checked when it was, and no other with it.
#[test]
fn each_page_is_checked_for_itself() {
    let file = file(0, &some(200 * PAYLOAD_BYTES));
    let checked = Checked::new(file.len() as u64);
    let is_checked_now = |page: usize| {
        let mut damaged = file.clone();
        damaged[page * PAGE_BYTES] ^= 1;
        Space::new(&damaged, SALT, &checked).u8((page as u64 - 1) * PAYLOAD_BYTES as u64).is_err()
    };
    let read = |page: usize| Space::new(&file, SALT, &checked).u8((page as u64 - 1) * PAYLOAD_BYTES as u64).unwrap();
    for page in [1, 63, 64, 65, 127, 128, 200] {
        assert!(is_checked_now(page), "page {page} before it was checked");
        read(page);
        assert!(!is_checked_now(page), "page {page} is checked once");
    }
    assert!([2, 62, 66, 126, 129, 192, 199].into_iter().all(is_checked_now), "pages that nobody asked for");
    // Of one that there is no room to remember: again and again.
    let none = Checked::new(0);
    let mut damaged = file.clone();
    assert!(Space::new(&damaged, SALT, &none).u8(0).is_ok());
    damaged[PAGE_BYTES] ^= 1;
    assert!(Space::new(&damaged, SALT, &none).u8(0).is_err());
}
