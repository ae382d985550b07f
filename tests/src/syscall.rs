//! System calls by name, and the errors that each may plausibly return.

use nix::errno::Errno;
use nix::libc;

macro_rules! names {
    ($($name:ident = $number:ident),* $(,)?) => {
        /// Those that the SDK, the agent and the standard library are known to make.
        const NAMES: &[(libc::c_long, &str)] = &[$((libc::$number, stringify!($name))),*];
    };
}

names! {
    accept4 = SYS_accept4, bind = SYS_bind, brk = SYS_brk, clock_nanosleep = SYS_clock_nanosleep,
    clone3 = SYS_clone3, close = SYS_close, connect = SYS_connect, dup = SYS_dup,
    epoll_create1 = SYS_epoll_create1, epoll_ctl = SYS_epoll_ctl, epoll_pwait = SYS_epoll_pwait,
    eventfd2 = SYS_eventfd2, execve = SYS_execve, exit = SYS_exit, exit_group = SYS_exit_group,
    fallocate = SYS_fallocate, fchmod = SYS_fchmod, fcntl = SYS_fcntl, fstat = SYS_fstat,
    fstatfs = SYS_fstatfs, ftruncate = SYS_ftruncate, futex = SYS_futex, getcwd = SYS_getcwd,
    getdents64 = SYS_getdents64, getegid = SYS_getegid,
    geteuid = SYS_geteuid, getgid = SYS_getgid, getpid = SYS_getpid,
    getrandom = SYS_getrandom, getsockname = SYS_getsockname, getsockopt = SYS_getsockopt,
    gettid = SYS_gettid, getuid = SYS_getuid, inotify_add_watch = SYS_inotify_add_watch,
    inotify_init1 = SYS_inotify_init1, inotify_rm_watch = SYS_inotify_rm_watch,
    ioctl = SYS_ioctl, linkat = SYS_linkat, listen = SYS_listen, lseek = SYS_lseek,
    madvise = SYS_madvise, mkdirat = SYS_mkdirat, mmap = SYS_mmap, mprotect = SYS_mprotect,
    mremap = SYS_mremap, munmap = SYS_munmap, newfstatat = SYS_newfstatat, openat = SYS_openat,
    ppoll = SYS_ppoll, prctl = SYS_prctl, pread64 = SYS_pread64, preadv = SYS_preadv,
    prlimit64 = SYS_prlimit64, pwrite64 = SYS_pwrite64, pwritev = SYS_pwritev, read = SYS_read,
    readlinkat = SYS_readlinkat, recvfrom = SYS_recvfrom, renameat2 = SYS_renameat2,
    rseq = SYS_rseq, rt_sigaction = SYS_rt_sigaction, rt_sigprocmask = SYS_rt_sigprocmask,
    rt_sigreturn = SYS_rt_sigreturn, sched_getaffinity = SYS_sched_getaffinity,
    sched_yield = SYS_sched_yield, sendto = SYS_sendto, set_robust_list = SYS_set_robust_list,
    setsockopt = SYS_setsockopt, shutdown = SYS_shutdown, sigaltstack = SYS_sigaltstack,
    socket = SYS_socket, socketpair = SYS_socketpair, statfs = SYS_statfs, statx = SYS_statx,
    unlinkat = SYS_unlinkat, wait4 = SYS_wait4, write = SYS_write, writev = SYS_writev,
}

/// Names that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_NAMES: &[(libc::c_long, &str)] = &[
    (libc::SYS_access, "access"),
    (libc::SYS_chmod, "chmod"),
    (libc::SYS_epoll_wait, "epoll_wait"),
    (libc::SYS_fork, "fork"),
    (libc::SYS_lstat, "lstat"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_open, "open"),
    (libc::SYS_poll, "poll"),
    (libc::SYS_readlink, "readlink"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_stat, "stat"),
    (libc::SYS_unlink, "unlink"),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_NAMES: &[(libc::c_long, &str)] = &[];

/// The name of a system call, or its number where it has none here.
#[must_use]
pub fn name(number: u64) -> String {
    let known = NAMES.iter().chain(OLD_NAMES).find(|(known, _)| known.cast_unsigned() == number);
    known.map_or_else(|| format!("syscall {number}"), |(_, name)| (*name).to_owned())
}

/// What every system call is made to return: reasons that a full or remounted file system, a
/// limit, a signal, a missing right or a filter of system calls give.
const ERRORS: [Errno; 14] = [
    Errno::EPERM,
    Errno::ENOENT,
    Errno::EINTR,
    Errno::EIO,
    Errno::EAGAIN,
    Errno::ENOMEM,
    Errno::EACCES,
    Errno::EINVAL,
    Errno::ENFILE,
    Errno::EMFILE,
    Errno::EFBIG,
    Errno::ENOSPC,
    Errno::EROFS,
    Errno::ENOSYS,
];

/// The errors that a system call is tried with; none for those that belong to the process and its
/// allocator, or never return.
#[must_use]
pub fn errors(name: &str) -> &'static [Errno] {
    const MEMORY: [Errno; 1] = [Errno::ENOMEM];
    match name {
        // The C library or the standard library ends the process, or spins, when one of these
        // fails; a kernel that fails them does not exist.
        "clone3" | "execve" | "exit" | "exit_group" | "fork" | "futex" | "rseq" | "wait4"
        | "rt_sigprocmask" | "rt_sigreturn" | "sched_yield" | "set_robust_list" | "gettid"
        | "sigaltstack" | "munmap" => &[],
        // By their manual pages these cannot fail.
        "getegid" | "geteuid" | "getgid" | "getpid" | "getuid" => &[],
        // Has no errors: a kernel without memory answers with the end of the heap as it was.
        "brk" => &[],
        // The allocator asks with these, too: what it does without memory is to end the process.
        "mmap" | "mprotect" | "mremap" => &MEMORY,
        _ => &ERRORS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_both_ways() {
        assert_eq!(name(libc::SYS_openat.cast_unsigned()), "openat");
        assert_eq!(name(99_999), "syscall 99999");
        assert!(errors("futex").is_empty());
        assert!(errors("fallocate").contains(&Errno::ENOSPC));
    }
}
