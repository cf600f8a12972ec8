//! A file that is a slice.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::io::{File, Mapping};

#[derive(Debug)]
pub(super) struct BytesFile<'a> {
    bytes: &'a [u8],
}

impl<'a> BytesFile<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> BytesFile<'a> {
        BytesFile { bytes }
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl File for BytesFile<'_> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..)).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_all_at(&self, _: &mut [IoSlice<'_>], _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        read_only()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        read_only()
    }

    fn map(&self, _: u64) -> io::Result<Arc<dyn Mapping>> {
        read_only()
    }

    fn map_from(&self, _: u64, _: u64) -> io::Result<Arc<dyn Mapping>> {
        read_only()
    }
}
