//! Damage to a SQLite file that somebody has open.

#![allow(unreachable_pub, reason = "test files share it")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

/// In what ways a file can be no good: all of it, all but its first page, or its end is gone.
pub const WAYS: u32 = 3;

/// Spoils a file so that whoever has it open meets the damage with the next event. The file is given back, to be kept
/// open: closing it would take the locks of this whole process away.
pub fn spoil_live(file: &Path, way: u32) -> File {
    let db = Connection::open(file).unwrap();
    // Another's change makes the others forget the pages that they know; then all of them stand in the file itself.
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    db.pragma_update(None, "user_version", version + 1).unwrap();
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
    drop(db);
    let spoiled = OpenOptions::new().write(true).open(file).unwrap();
    let (page, len) = (4096, spoiled.metadata().unwrap().len());
    assert!(len > page);
    match way {
        0 => spoiled.write_all_at(&vec![0x55; len as usize], 0).unwrap(),
        1 => spoiled.write_all_at(&vec![0x55; (len - page) as usize], page).unwrap(),
        _ => spoiled.set_len(page).unwrap(),
    }
    spoiled
}
