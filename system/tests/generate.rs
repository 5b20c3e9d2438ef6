//! What a PD gets from a good description.

use std::fs;
use std::path::PathBuf;

use strait_pd::Config;
use strait_system::{Settings, System, config, load, write};

const SYSTEM: &str = include_str!("good.system");

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_driver_gets_regions_channels_and_its_interrupt() {
    let system = System::parse(SYSTEM, "s").unwrap();
    let driver = config(&system, &Settings::default(), system.pd("eth_driver").unwrap());
    assert_eq!(driver.name, "eth_driver");
    let queue = driver.region("eth_rx_free").unwrap();
    assert_eq!((queue.vaddr, queue.size, queue.writable), (0x11_0000_0000, 0x4000, true));
    assert!(!driver.region("eth_rx_data").unwrap().writable);
    assert!(driver.region("eth_driver_config").is_err());
    assert_eq!(driver.irq("virtio_net").unwrap().index(), 0);
    assert_eq!(driver.channel("net_server").unwrap().index(), 1);
    assert!(!driver.channels[0].can_call);
}

#[test]
fn interrupts_are_named() {
    let name = |from: &str, to: &str| {
        let system = System::parse(&SYSTEM.replacen(from, to, 1), "s").unwrap();
        config(&system, &Settings::default(), system.pd("timer_driver").unwrap()).irqs[0].0.clone()
    };
    assert_eq!(name("", ""), "timer");
    assert_eq!(name("id=\"0\"/>", "id=\"0\" setvar_id=\"tick\"/>"), "tick");
    assert_eq!(name("timer_driver.elf", "mine.elf"), "irq30");
}

#[test]
fn files_are_written_and_prefill_sizes_found() {
    let root = folder("generate");
    fs::write(root.join("s.system"), SYSTEM).unwrap();
    fs::write(root.join("s.toml"), "[net_server]\nipv4.mode = \"dhcp\"\n").unwrap();
    fs::write(root.join("archive.tar"), [0; 5000]).unwrap();
    let (system, settings) = load(&root.join("s.system"), &root.join("s.toml"), std::slice::from_ref(&root)).unwrap();
    write(&system, &settings, &root.join("config")).unwrap();

    let read = |pd: &str| Config::decode(&fs::read(root.join(format!("config/{pd}.bin"))).unwrap()).unwrap();
    let archive = read("vfs_server").region("vfs_archive").unwrap().clone();
    assert_eq!((archive.prefill, archive.size), (5000, 0x2000));
    assert_eq!(read("net_server").setting("ipv4.mode"), Some("dhcp"));
    assert_eq!(fs::read_dir(root.join("config")).unwrap().count(), system.pds.len());

    let before = fs::metadata(root.join("config/echo.bin")).unwrap().modified().unwrap();
    write(&system, &settings, &root.join("config")).unwrap();
    assert_eq!(fs::metadata(root.join("config/echo.bin")).unwrap().modified().unwrap(), before);
}

#[test]
fn a_missing_prefill_file_is_named() {
    let mut system = System::parse(SYSTEM, "s").unwrap();
    let problems = system.resolve_prefill(&[folder("missing")]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].text.contains("`vfs_archive` is filled from archive.tar, which is not in"), "{problems:?}");
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    let system = System::parse(SYSTEM, "s").unwrap();
    let mut settings = Settings::default();
    settings.set("echo", "k", &"x".repeat(5000));
    let problems = write(&system, &settings, &folder("large")).unwrap_err();
    assert!(problems[0].text.contains("make the size of `echo_config` 0x2000"), "{problems:?}");
}

#[test]
fn the_description_of_this_repository_passes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let (system, settings) = load(&root.join("microkit.system"), &root.join("strait.toml"), &[]).unwrap();
    assert_eq!(strait_system::check(&system, &settings), []);
}

#[test]
fn the_servers_learn_who_the_clients_are() {
    let system = System::parse(SYSTEM, "s").unwrap();
    let settings = Settings::parse("[httpd.identity]\nuid = 0\n", "t").unwrap();
    // But for what the network's policy asks for.
    let problems = |settings| {
        let all = strait_system::check(&system, settings);
        all.into_iter().filter(|p| !p.text.contains("policy")).count()
    };
    assert_eq!(problems(&settings), 0);
    for server in ["net_server", "vfs_server"] {
        let config = config(&system, &settings, system.pd(server).unwrap());
        let clients: Vec<_> = config.settings.iter().filter(|(k, _)| k.starts_with("identity.")).collect();
        assert_eq!(clients.len(), 2);
        assert_eq!(config.setting("identity.echo"), Some("1000:1000"));
        assert_eq!(config.setting("identity.httpd"), Some("0:1001"));
    }
    let wrong = Settings::parse("[httpd.identity]\nuid = -1\n[console.identity]\nuid = 0\n", "t").unwrap();
    assert_eq!(problems(&wrong), 2);
}
