//! The order of the rules, and each refusal, in directories of the test's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory that is removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringmeter-directory-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn directory(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// An environment in which only the last rule holds.
    fn environment(&self) -> Environment {
        Environment {
            ringmeter_dir: None,
            xdg_runtime_dir: None,
            run_path: self.0.join("run"),
            shared_memory_path: self.0.clone(),
            uid: system::effective_uid(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_first_rule_that_holds_decides() {
    let scratch = Scratch::new();
    let mut environment = scratch.environment();
    let found = |explicit: Option<&Path>, environment: &Environment| {
        let directory = find_in(explicit, environment).unwrap();
        (directory.source(), directory.path().to_owned())
    };
    let private = scratch.0.join(format!("ringmeter-{}", environment.uid));
    assert_eq!(found(None, &environment), (Source::SharedMemory, private.clone()));
    assert_eq!(mode_of(&private), 0o700);

    let runtime = scratch.directory("xdg", 0o700);
    environment.xdg_runtime_dir = Some(runtime.clone().into());
    let private = runtime.join("ringmeter");
    assert_eq!(found(None, &environment), (Source::UserRuntime, private.clone()));
    assert_eq!(mode_of(&private), 0o700);

    let run = scratch.directory("run", 0o755);
    assert_eq!(found(None, &environment), (Source::Run, run));

    let variable = scratch.directory("variable", 0o755);
    environment.ringmeter_dir = Some(variable.clone().into());
    assert_eq!(found(None, &environment), (Source::Variable, variable));

    let explicit = scratch.directory("explicit", 0o755);
    assert_eq!(found(Some(&explicit), &environment), (Source::Explicit, explicit.clone()));
}

#[test]
fn a_second_look_finds_the_same_directory() {
    let scratch = Scratch::new();
    let environment = scratch.environment();
    let first = find_in(None, &environment).unwrap();
    assert_eq!(find_in(None, &environment).unwrap(), first);
    assert_eq!(first.segments_path(), first.path().join("segments"));
    assert_eq!(first.agent_path(), first.path().join("agent"));
}

#[test]
fn variables_that_say_nothing_are_passed_over() {
    let scratch = Scratch::new();
    let mut environment = scratch.environment();
    environment.ringmeter_dir = Some(OsString::new());
    let missing = scratch.0.join("missing").into();
    for runtime in [OsString::new(), "relative".into(), missing] {
        environment.xdg_runtime_dir = Some(runtime);
        assert_eq!(find_in(None, &environment).unwrap().source(), Source::SharedMemory);
    }
    fs::write(&environment.run_path, "a file").unwrap();
    assert_eq!(find_in(None, &environment).unwrap().source(), Source::SharedMemory);
}

#[test]
fn a_named_directory_is_taken_or_refused() {
    let scratch = Scratch::new();
    let mut environment = scratch.environment();
    let file = scratch.0.join("file");
    fs::write(&file, "").unwrap();
    let mut refused = |path: &Path| {
        environment.ringmeter_dir = Some(path.into());
        let by_variable = find_in(None, &environment).unwrap_err().to_string();
        let error = find_in(Some(path), &environment).unwrap_err();
        assert_eq!(error.to_string(), by_variable);
        error
    };
    assert!(matches!(refused(Path::new("relative")), DirectoryError::NotAbsolute { .. }));
    let parent = scratch.0.join("../x");
    assert!(matches!(refused(&parent), DirectoryError::ParentComponent { .. }));
    let missing = scratch.0.join("missing");
    assert!(matches!(refused(&missing), DirectoryError::Missing { .. }));
    assert!(matches!(refused(&file), DirectoryError::NotDirectory { .. }));
    assert!(matches!(refused(&file.join("below")), DirectoryError::Io { .. }));
    assert!(find_in(Some(Path::new("")), &scratch.environment()).is_err());
}

#[test]
fn a_private_directory_must_be_private() {
    let scratch = Scratch::new();
    let mut environment = scratch.environment();
    let name = format!("ringmeter-{}", environment.uid);

    let path = scratch.directory(&name, 0o750);
    let error = find_in(None, &environment).unwrap_err();
    assert!(matches!(error, DirectoryError::NotPrivate { mode: 0o750, .. }), "{error}");
    assert!(error.to_string().ends_with(
        "has mode 750: make it private with chmod 700, or name a directory with RINGMETER_DIR"
    ));

    fs::remove_dir(&path).unwrap();
    let elsewhere = scratch.directory("elsewhere", 0o700);
    symlink(&elsewhere, &path).unwrap();
    let error = find_in(None, &environment).unwrap_err();
    assert!(matches!(error, DirectoryError::NotDirectory { .. }), "{error}");

    // What this user makes is not another user's.
    let uid = environment.uid;
    environment.uid += 1;
    let error = find_in(None, &environment).unwrap_err();
    assert!(matches!(error, DirectoryError::NotOwned { owner_uid, .. } if owner_uid == uid));

    environment.shared_memory_path = scratch.0.join("missing");
    let error = find_in(None, &environment).unwrap_err();
    assert!(matches!(error, DirectoryError::Io { operation: "create", .. }), "{error}");
}

#[test]
fn a_subdirectory_is_no_more_open_than_its_parent() {
    let scratch = Scratch::new();
    for (parent_mode, expected) in
        [(0o700, 0o700), (0o2770, 0o2770), (0o1777, 0o770), (0o755, 0o750), (0o2777, 0o2770)]
    {
        let path = scratch.directory(&format!("{parent_mode:o}"), parent_mode);
        let directory = Directory { path, source: Source::Explicit };
        for which in [Subdirectory::Segments, Subdirectory::Agent] {
            let path = directory.subdirectory_path(which);
            assert!(open_existing_subdirectory(&directory, which).unwrap().is_none());
            let opened = open_subdirectory(&directory, which).unwrap();
            assert_eq!(opened.metadata().unwrap().ino(), fs::metadata(&path).unwrap().ino());
            assert_eq!(mode_of(&path), expected, "{which:?} in {parent_mode:o}");
            // What exists is left as it is.
            fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
            open_subdirectory(&directory, which).unwrap();
            assert!(open_existing_subdirectory(&directory, which).unwrap().is_some());
            assert_eq!(mode_of(&path), 0o500);
        }
    }
}

#[test]
fn a_subdirectory_is_neither_a_link_nor_a_file() {
    let scratch = Scratch::new();
    let elsewhere = scratch.directory("elsewhere", 0o700);
    let directory = Directory { path: scratch.0.clone(), source: Source::Explicit };
    symlink(&elsewhere, directory.segments_path()).unwrap();
    fs::write(directory.agent_path(), "").unwrap();
    for which in [Subdirectory::Segments, Subdirectory::Agent] {
        let error = open_subdirectory(&directory, which).unwrap_err();
        assert!(matches!(error, DirectoryError::Io { operation: "open", .. }), "{error}");
        assert!(open_existing_subdirectory(&directory, which).is_err());
    }
}

#[test]
fn a_directory_is_usable_if_segments_can_be_reached() {
    let scratch = Scratch::new();
    assert!(!system::is_usable(&scratch.0.join("missing")));
    assert!(system::is_usable(&scratch.directory("empty", 0o700)));
    let hardened = scratch.directory("hardened", 0o700);
    fs::create_dir(hardened.join("segments")).unwrap();
    fs::set_permissions(&hardened, Permissions::from_mode(0o500)).unwrap();
    assert!(system::is_usable(&hardened));
    // Root is refused nothing, so the two refusals are for other users only.
    if system::effective_uid() != 0 {
        let read_only = scratch.directory("read-only", 0o500);
        assert!(!system::is_usable(&read_only));
        let unsearchable = scratch.directory("unsearchable", 0o600);
        assert!(!system::is_usable(&unsearchable));
    }
}

#[test]
fn memory_is_told_from_disk() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for path in ["/", "/proc", "/dev/shm"] {
        // The last mount over a path is the one that is seen.
        let kind = mounts.lines().rev().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            (fields.next() == Some(path)).then(|| fields.next().unwrap_or_default())
        });
        if let Some(kind) = kind {
            let expected = matches!(kind, "tmpfs" | "ramfs");
            assert_eq!(is_memory_backed(Path::new(path)).unwrap(), expected, "{path}");
        }
    }
    assert!(is_memory_backed(Path::new("/nonexistent")).is_err());
}

#[test]
fn the_current_environment_has_the_documented_places() {
    let environment = Environment::current();
    assert_eq!(environment.run_path, Path::new("/run/ringmeter"));
    assert_eq!(environment.shared_memory_path, Path::new("/dev/shm"));
}
