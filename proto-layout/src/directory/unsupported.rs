//! The same questions where the system is not Linux: no directory is usable.

use std::fs::File;
use std::io;
use std::path::Path;

use super::DirectoryError;

pub(super) fn effective_uid() -> u32 {
    0
}

pub(super) fn has_foreign_rights() -> bool {
    false
}

pub(super) fn is_usable(_path: &Path) -> bool {
    false
}

pub(super) fn is_owned_directory(_path: &Path, _uid: u32) -> bool {
    false
}

pub(super) fn make_private(_path: &Path, _uid: u32) -> Result<(), DirectoryError> {
    Err(DirectoryError::Unsupported)
}

pub(super) fn open_or_create(_parent: &Path, _path: &Path) -> Result<File, DirectoryError> {
    Err(DirectoryError::Unsupported)
}

pub(super) fn open_existing(_path: &Path) -> Result<Option<File>, DirectoryError> {
    Err(DirectoryError::Unsupported)
}

pub(super) fn is_memory_backed(_path: &Path) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
