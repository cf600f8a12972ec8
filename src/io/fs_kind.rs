//! Which kind of file system holds a path.

use std::io;
use std::path::Path;

use super::FsKind;

/// Looks at the nearest directory above `path` that exists, so that it can be asked before a store
/// is created.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn kind_of(path: &Path) -> io::Result<FsKind> {
    for ancestor in path.ancestors() {
        match rustix::fs::statfs(ancestor) {
            Ok(found) => {
                return Ok(by_magic(found.f_type as u32).unwrap_or_else(|| by_mount(ancestor)));
            }
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Elsewhere the question is not asked.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn kind_of(_path: &Path) -> io::Result<FsKind> {
    Ok(FsKind::Local)
}

/// The magic numbers of `linux/magic.h` and of file systems outside the kernel's tree. `None` for
/// FUSE, which can be anything.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn by_magic(magic: u32) -> Option<FsKind> {
    match magic {
        0x6573_5546 => None,
        0x0102_1994 | 0x8584_58f6 => Some(FsKind::Tmpfs), // tmpfs, ramfs
        0x9123_683e | 0x2fc1_2fc1 | 0xca45_1a4e => Some(FsKind::CopyOnWrite), // btrfs, zfs, bcachefs
        0x6969 | 0x0102_1997 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some(FsKind::Network), // nfs, 9p, smb, cifs, smb2
        0x00c3_6400 | 0x5346_414f | 0x7375_7245 | 0x6a65_6a63 => Some(FsKind::Network), // ceph, afs, coda, virtiofs
        _ => Some(FsKind::Local),
    }
}

/// Tells network file systems among those of FUSE apart by the name under which they are mounted.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn by_mount(path: &Path) -> FsKind {
    use std::os::unix::fs::MetadataExt;

    let Ok(meta) = std::fs::metadata(path) else {
        return FsKind::Local;
    };
    let device = format!("{}:{}", rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return FsKind::Local;
    };
    match mounts.lines().find_map(|line| mount_type(line, &device)) {
        Some("virtiofs" | "fuse.sshfs" | "fuse.glusterfs" | "fuse.s3fs" | "fuse.rclone" | "fuse.ceph-fuse") => {
            FsKind::Network
        }
        _ => FsKind::Local,
    }
}

/// The file system type in a line of `mountinfo`, if the line is about this device:
/// `36 35 98:0 /root /mount options [optional fields] - TYPE source options`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn mount_type<'a>(line: &'a str, device: &str) -> Option<&'a str> {
    if line.split(' ').nth(2) != Some(device) {
        return None;
    }
    line.split(" - ").nth(1)?.split(' ').next()
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_mount_tells_its_type() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - virtiofs myfs rw";
        assert_eq!(mount_type(line, "98:0"), Some("virtiofs"));
        assert_eq!(mount_type(line, "98:1"), None);
    }

    #[test]
    fn a_path_that_is_not_there_has_the_kind_of_the_directory_above() {
        let missing = Path::new("/proc/self/nothing/here");
        assert_eq!(kind_of(missing).unwrap(), kind_of(Path::new("/proc/self")).unwrap());
        if let Ok(shm) = kind_of(Path::new("/dev/shm")) {
            assert_eq!(shm, FsKind::Tmpfs);
        }
    }
}
