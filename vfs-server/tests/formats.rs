//! Archives as tar programs write them.

mod common;

use common::*;
use strait_abi::{Errno, vfs::mode};
use strait_vfs_server::{
    archive::{Archive, ArchiveError, MAX_NODES},
    file_system::FileSystem,
    identity::Caller,
    tar::{Kind, Reader},
    tree::{Links, Tree},
};

fn exists(tar: &[u8], path: &str) -> Option<u64> {
    let mut tree = Tree::new(Box::new(Archive::new(memory(tar), tar.len()).unwrap()));
    let root = tree.root();
    let place = tree.find(&Caller { payer: 0, uid: 0, gid: 0, now: 0 }, root, path.as_bytes(), Links::Follow).ok()?;
    Some(tree.stat(place).unwrap().size)
}

#[test]
fn long_names_in_three_ways() {
    let long = "d/".repeat(60) + "name";
    let mut tar = Vec::new();
    entry(&mut tar, &"p/".repeat(70), "in_prefix", b'0', 0o644, b"1");
    let record = format!(" path={long}.pax\n");
    let record = format!("{}{record}", record.len() + 3);
    entry(&mut tar, "", "PaxHeaders/x", b'x', 0o644, format!("{record}11 size=22\n").as_bytes());
    file(&mut tar, "short", &[2; 22]);
    entry(&mut tar, "", "././@LongLink", b'L', 0o644, format!("{long}.gnu\0").as_bytes());
    file(&mut tar, "short", b"333");
    end(&mut tar);
    assert_eq!(exists(&tar, &("p/".repeat(70) + "in_prefix")), Some(1));
    assert_eq!(exists(&tar, &(long.clone() + ".pax")), Some(22));
    assert_eq!(exists(&tar, &(long + ".gnu")), Some(3));
    assert_eq!(exists(&tar, "short"), None);
}

#[test]
fn the_last_of_equal_paths_counts() {
    let mut tar = Vec::new();
    file(&mut tar, "x", b"old");
    file(&mut tar, "./x", b"newer");
    assert_eq!(exists(&tar, "x"), Some(5));
}

#[test]
fn broken_archives_are_refused() {
    let archive = |tar: &[u8]| Archive::new(memory(tar), tar.len()).err();
    let mut tar = Vec::new();
    file(&mut tar, "x", &[0; 1000]);
    assert_eq!(archive(&tar), None);
    assert!(matches!(archive(&tar[..1024]), Some(ArchiveError::Tar(e)) if e.what == "truncated"));
    let mut tar = Vec::new();
    file(&mut tar, "../x", b"");
    assert_eq!(archive(&tar), Some(ArchiveError::Path(512)));
    let mut tar = Vec::new();
    file(&mut tar, "x", b"");
    file(&mut tar, "x/y", b"");
    assert_eq!(archive(&tar), Some(ArchiveError::Conflict(1024)));
    let mut tar = Vec::new();
    for i in 0..MAX_NODES {
        file(&mut tar, &format!("{i}"), b"");
    }
    assert_eq!(archive(&tar), Some(ArchiveError::TooMany));
    assert_eq!(archive(&[]), None);
}

#[test]
fn reads_what_tar_writes() {
    let dir = std::env::temp_dir().join(format!("strait-tar-{}", std::process::id()));
    let deep = dir.join("x".repeat(90)).join("y".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("file"), [7; 777]).unwrap();
    std::fs::hard_link(deep.join("file"), deep.join("second name")).unwrap();
    std::os::unix::fs::symlink(deep.join("file"), dir.join("link")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
    for format in ["ustar", "gnu", "pax"] {
        let out =
            std::process::Command::new("tar").args(["--format", format, "-cf", "-", "-C"]).arg(&dir).arg(".").output();
        let Ok(out) = out else { return };
        if !out.status.success() {
            // Not GNU tar.
            continue;
        }
        let path = format!("{}/{}/file", "x".repeat(90), "y".repeat(90));
        assert_eq!(exists(&out.stdout, &path), Some(777), "{format}");
        // Whichever name stands first has the data; they are one file.
        let second = format!("{}/{}/second name", "x".repeat(90), "y".repeat(90));
        assert_eq!(exists(&out.stdout, &second), Some(777), "{format}");
        let mut archive = Archive::new(memory(&out.stdout), out.stdout.len()).unwrap();
        let mut find = |path: &str| {
            path.split('/').try_fold(archive.root(), |node, name| archive.lookup(node, name.as_bytes())).unwrap()
        };
        let (file, second, link) = (find(&path), find(&second), find("link"));
        let (a, b) = (archive.stat(file).unwrap(), archive.stat(second).unwrap());
        assert_eq!((a, a.nlink), (b, 2), "{format}");
        let mut target = Vec::new();
        archive.read_link(link, &mut target).unwrap();
        assert_eq!(target, deep.join("file").as_os_str().as_encoded_bytes(), "{format}");
        assert_eq!(archive.stat(link).unwrap().mode, mode::SYMLINK | 0o777);
        assert_eq!(archive.read_link(file, &mut target), Err(Errno::EINVAL));
        // What is left out is said once.
        assert!(archive.trouble().is_some() && archive.trouble().is_none(), "{format}");
        let m = memory(&out.stdout);
        let entries: Vec<_> = Reader::new(m, out.stdout.len()).map(Result::unwrap).collect();
        assert_eq!(entries.iter().filter(|e| e.kind == Kind::Directory).count(), 3, "{format}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
