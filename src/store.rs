//! x
use crate::io::Storage;
use crate::options::Options;
use std::path::Path;
use std::sync::Arc;
/// The store.
#[derive(Clone)]
pub struct Store {}
impl Store {
    pub(crate) fn open_with(_options: Options, _storage: Arc<dyn Storage>, _path: &Path) -> crate::Result<Store> {
        Ok(Store {})
    }
}
