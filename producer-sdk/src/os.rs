//! What the standard library has no name for: the process' incarnation, thread exit, random
//! bytes, a directory listing without allocation. One of three modules with `unsafe`.

#![allow(unsafe_code)]

use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::word::Word;

use crate::leaked::Leaked;

/// A word in memory that a forked child finds zeroed.
static INCARNATION: Leaked<Word> = Leaked::empty();
/// The last incarnation number given out in this process and its ancestors.
static LAST_INCARNATION: Word = Word::new(0);

/// A number that is another one in every process along a line of forks; 0 when the system has
/// not even a page of memory left.
///
/// It needs no hook at fork time, so it also tells after a raw `clone`.
pub(crate) fn incarnation() -> u64 {
    let Some(word) = INCARNATION.get().or_else(make_incarnation_word) else { return 0 };
    let known = word.load_acquire();
    if known != 0 {
        return known;
    }
    // First call in this process: wiped by the fork, or never set.
    let next = LAST_INCARNATION.add_relaxed(1) + 1;
    word.compare_exchange_acquire(0, next).map_or_else(|now| now, |_| next)
}

#[cold]
fn make_incarnation_word() -> Option<&'static Word> {
    let word = Mapping::private(4096).ok()?.word(0)?;
    // Two threads may come here at once: the loser's page stays unused.
    INCARNATION.set_if(None, word);
    INCARNATION.get()
}

/// Sixteen random bytes; `None` when the system has none to give yet.
#[cfg(target_os = "linux")]
pub(crate) fn random_id() -> Option<[u8; 16]> {
    let mut bytes = [0_u8; 16];
    // SAFETY:
    // - The buffer is 16 bytes long and ours alone.
    // - GRND_NONBLOCK: the call returns at once.
    let got =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    (got == 16).then_some(bytes)
}

/// While this lives, a cancellation (`pthread_cancel`) of this thread waits. System calls are where
/// it would happen, and whoever holds a lock or has claimed a lane would never give it back.
pub(crate) struct Uncancelled {
    #[cfg(target_os = "linux")]
    before: libc::c_int,
}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

#[cfg(target_os = "linux")]
impl Uncancelled {
    /// The same number in all C libraries for Linux.
    const DISABLE: libc::c_int = 1;

    pub(crate) fn new() -> Self {
        let mut before = 0;
        // SAFETY:
        // - `before` is ours to write; a thread may always change its own state.
        unsafe { pthread_setcancelstate(Self::DISABLE, &raw mut before) };
        Self { before }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY:
        // - The state is one that the C library has told; null: nobody asks for the old one.
        unsafe { pthread_setcancelstate(self.before, core::ptr::null_mut()) };
    }
}

#[cfg(not(target_os = "linux"))]
impl Uncancelled {
    pub(crate) fn new() -> Self {
        Self {}
    }
}

/// Calls `at_exit(value)` when a thread ends that has called [`ThreadExit::arm`].
pub(crate) struct ThreadExit {
    /// The key plus one; zero while there is none.
    key: Word,
}

impl ThreadExit {
    pub(crate) const fn new() -> Self {
        Self { key: Word::new(0) }
    }

    /// Makes the key, once. Returns whether there is one.
    #[cfg(unix)]
    pub(crate) fn prepare(&self, at_exit: unsafe extern "C" fn(*mut libc::c_void)) -> bool {
        if self.key.load_acquire() != 0 {
            return true;
        }
        let mut key: libc::pthread_key_t = 0;
        // SAFETY:
        // - `key` is ours to write, and `at_exit` is a function for the whole life of the process.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(at_exit)) } != 0 {
            return false;
        }
        #[allow(clippy::useless_conversion)]
        let stored = u64::from(key) + 1;
        if self.key.compare_exchange_acquire(0, stored).is_err() {
            // SAFETY:
            // - The key was made above and given to nobody.
            unsafe { libc::pthread_key_delete(key) };
        }
        true
    }

    /// Remembers a value, not zero, for the end of this thread. Returns whether it will be told.
    #[cfg(unix)]
    // What a key is differs between systems: 32 bits on Linux, 64 on macOS.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn arm(&self, value: usize) -> bool {
        let key = self.key.load_acquire();
        if key == 0 {
            return false;
        }
        let value = core::ptr::without_provenance::<libc::c_void>(value);
        // SAFETY:
        // - The key was made by `prepare` and is never deleted.
        unsafe { libc::pthread_setspecific((key - 1) as libc::pthread_key_t, value) == 0 }
    }

    /// Without POSIX threads nobody tells that a thread ends, and no lane is ever claimed.
    #[cfg(not(unix))]
    pub(crate) fn prepare(&self, _: unsafe extern "C" fn(*mut libc::c_void)) -> bool {
        false
    }

    /// See the other `arm`.
    #[cfg(not(unix))]
    pub(crate) fn arm(&self, _: usize) -> bool {
        self.key.load_acquire() != 0
    }
}

/// Counts the entries of an open directory whose names end in `suffix`, up to `limit`.
///
/// Without allocation, because a forked child may come here from its first record.
#[cfg(target_os = "linux")]
pub(crate) fn count_entries(
    directory: &std::fs::File,
    suffix: &[u8],
    limit: u32,
) -> std::io::Result<u32> {
    use std::os::fd::AsRawFd;

    let mut buffer = [0_u64; 512];
    let mut count = 0;
    loop {
        // SAFETY:
        // - The buffer is ours, 4096 bytes long, aligned to eight.
        // - The descriptor is open: `directory` is borrowed.
        let got = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                buffer.as_mut_ptr(),
                size_of_val(&buffer),
            )
        };
        let Ok(got) = usize::try_from(got) else { return Err(std::io::Error::last_os_error()) };
        if got == 0 || count >= limit {
            return Ok(count);
        }
        // SAFETY:
        // - Any bytes are valid `u8`, and the buffer outlives the slice.
        let bytes =
            unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), got.min(4096)) };
        count += count_in(bytes, suffix);
    }
}

/// Renames a file unless there is one of that name already, without allocation.
///
/// The call itself, because not every C library has a function for it (musl has none).
#[cfg(target_os = "linux")]
pub(crate) fn rename_new(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    use nix::NixPath;

    let renamed = from.with_nix_path(|from| {
        to.with_nix_path(|to| {
            // SAFETY:
            // - Both texts end in zero and outlive the call, which keeps neither.
            unsafe {
                libc::syscall(
                    libc::SYS_renameat2,
                    libc::AT_FDCWD,
                    from.as_ptr(),
                    libc::AT_FDCWD,
                    to.as_ptr(),
                    RENAME_NOREPLACE,
                )
            }
        })
    });
    match renamed {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(_)) => Err(std::io::Error::last_os_error()),
        Ok(Err(error)) | Err(error) => Err(error.into()),
    }
}

/// From `linux/fs.h`.
#[cfg(target_os = "linux")]
const RENAME_NOREPLACE: libc::c_uint = 1;

/// Counts matching names in a buffer of `linux_dirent64`: ino 8, off 8, reclen 2, type 1, name.
#[cfg(target_os = "linux")]
fn count_in(mut bytes: &[u8], suffix: &[u8]) -> u32 {
    const NAME_OFFSET: usize = 19;
    let mut count = 0;
    while bytes.len() > NAME_OFFSET {
        let length = usize::from(u16::from_ne_bytes([bytes[16], bytes[17]]));
        let Some((entry, rest)) = bytes.split_at_checked(length) else { break };
        if length <= NAME_OFFSET {
            break;
        }
        let name = &entry[NAME_OFFSET..];
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        count += u32::from(name[..end].ends_with(suffix));
        bytes = rest;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_one_incarnation() {
        assert_ne!(incarnation(), 0);
        assert_eq!(incarnation(), incarnation());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_rename_replaces_nothing() {
        let path = std::env::temp_dir().join(format!("ringmeter-rename-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("directory");
        let (from, to) = (path.join("from"), path.join("to"));
        std::fs::write(&from, b"1").expect("file");
        rename_new(&from, &to).expect("the name is free");
        std::fs::write(&from, b"2").expect("file");
        let error = rename_new(&from, &to).expect_err("the name is taken");
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&to).expect("still there"), b"1");
        std::fs::remove_dir_all(&path).expect("clean up");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn entries_are_counted_by_suffix() {
        let path = std::env::temp_dir().join(format!("ringmeter-os-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("directory");
        for number in 0..300 {
            std::fs::write(path.join(format!("{number:0100}.seg")), b"").expect("file");
        }
        std::fs::write(path.join("other"), b"").expect("file");
        let count = |limit| {
            let directory = std::fs::File::open(&path).expect("open");
            count_entries(&directory, b".seg", limit).expect("count")
        };
        assert_eq!(count(1000), 300);
        assert!(count(10) >= 10, "stops once the limit is passed");
        assert!(count(10) < 300);
        std::fs::remove_dir_all(&path).expect("clean up");
    }
}
