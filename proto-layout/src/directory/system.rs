//! What Linux is asked about directories.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::{AccessFlags, eaccess, getegid, geteuid, getgid, getuid};

use super::{DirectoryError, Subdirectory};

/// `RAMFS_MAGIC` of linux/magic.h, which libc does not have.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
const PERMISSION_BITS: u32 = 0o777;
const PRIVATE_MODE: u32 = 0o700;
/// For the owner and the group, which new files inherit from the directory (setgid).
const SUBDIRECTORY_MODE: u32 = 0o2770;

pub(super) fn effective_uid() -> u32 {
    geteuid().as_raw()
}

pub(super) fn has_foreign_rights() -> bool {
    getuid() != geteuid() || getgid() != getegid()
}

pub(super) fn is_usable(path: &Path) -> bool {
    let segments = path.join(Subdirectory::Segments.as_str());
    path.is_dir()
        && eaccess(path, AccessFlags::X_OK).is_ok()
        && (eaccess(path, AccessFlags::W_OK).is_ok()
            || (segments.is_dir() && eaccess(&segments, AccessFlags::X_OK).is_ok()))
}

pub(super) fn is_owned_directory(path: &Path, uid: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid)
}

/// Makes a directory that only `uid` may use, or checks the one that is there.
///
/// Checking by path is enough: once a name in a sticky directory such as `/dev/shm`, or in one
/// of our own, is a directory of ours, nobody else can rename or remove it.
pub(super) fn make_private(path: &Path, uid: u32) -> Result<(), DirectoryError> {
    let failed =
        |operation| move |error| DirectoryError::Io { operation, path: path.to_owned(), error };
    // The other side may be making it at this moment, so that it exists is no error.
    match DirBuilder::new().mode(PRIVATE_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create")(error));
        }
        _ => {}
    }
    // Of the name itself: a symbolic link is not a directory.
    let metadata = std::fs::symlink_metadata(path).map_err(failed("look at"))?;
    let path = path.to_owned();
    if !metadata.is_dir() {
        return Err(DirectoryError::NotDirectory { path });
    }
    if metadata.uid() != uid {
        return Err(DirectoryError::NotOwned { path, owner_uid: metadata.uid(), uid });
    }
    let mode = metadata.mode() & PERMISSION_BITS;
    if mode != PRIVATE_MODE {
        return Err(DirectoryError::NotPrivate { path, mode });
    }
    Ok(())
}

pub(super) fn open_or_create(parent: &Path, path: &Path) -> Result<File, DirectoryError> {
    let failed =
        |operation| move |error| DirectoryError::Io { operation, path: path.to_owned(), error };
    if let Some(existing) = open_existing(path)? {
        return Ok(existing);
    }
    let parent_mode = std::fs::metadata(parent).map_err(failed("look above"))?.mode();
    let mode = SUBDIRECTORY_MODE & parent_mode;
    let is_ours = match DirBuilder::new().mode(mode & PERMISSION_BITS).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed("create")(error)),
    };
    let directory = open_directory(path).map_err(failed("open"))?;
    if is_ours {
        let metadata = directory.metadata().map_err(failed("look at"))?;
        // In a directory that others write too, it may have been replaced by now.
        let (owner_uid, uid) = (metadata.uid(), effective_uid());
        if owner_uid != uid {
            return Err(DirectoryError::NotOwned { path: path.to_owned(), owner_uid, uid });
        }
        // What the umask took away is given back.
        if metadata.mode() & SUBDIRECTORY_MODE != mode {
            let permissions = Permissions::from_mode(mode);
            directory.set_permissions(permissions).map_err(failed("set the mode of"))?;
        }
    }
    Ok(directory)
}

pub(super) fn open_existing(path: &Path) -> Result<Option<File>, DirectoryError> {
    match open_directory(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DirectoryError::Io { operation: "open", path: path.to_owned(), error }),
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

pub(super) fn is_memory_backed(path: &Path) -> io::Result<bool> {
    let kind = statfs(path)?.filesystem_type();
    Ok(kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}
