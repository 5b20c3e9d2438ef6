//! Boots small systems of two or three PDs: this test binary is also their
//! supervisor and their processes.

mod nic;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use strait_hosted::{Program, Running, Start};
use strait_pd::{Channel, ChannelSet, Component, ConfigError, Environment, Fault, Message};
use strait_ring::SharedMemory;
use strait_system::{Settings, System};

const PROGRAMS: &[Program] = &[
    Program::new("pinger", |s| pinger(s.env)),
    Program::new("ponger", |s| s.serve(Ponger::new)),
    Program::new("intruder", intruder),
    Program::new("idle", |s| idle(&s.env)),
    Program::new("watcher", |s| s.serve(|env| Ok::<_, ConfigError>(Watcher(env)))),
    Program { tap: true, ..Program::new("nic", nic::main) },
];

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|a| ["run", "exec", "pd"].contains(&a.as_str())) {
        return strait_hosted::main(PROGRAMS);
    }
    let trial = |name: &str, run: fn() -> Result<(), Failed>| Trial::test(name, run);
    let network = Trial::test("a_host_on_the_tap_is_reached", nic::a_host_on_the_tap_is_reached);
    let trials = vec![
        network.with_ignored_flag(!nic::possible()),
        trial("calls_notifications_and_regions", calls_notifications_and_regions),
        trial("a_panic_ends_the_run_and_frees_the_caller", a_panic_ends_the_run_and_frees_the_caller),
        trial("a_killed_server_ends_the_run", a_killed_server_ends_the_run),
        trial("the_end_of_a_child_is_told_to_its_parent", the_end_of_a_child_is_told_to_its_parent),
        trial("rights_are_enforced", rights_are_enforced),
        trial("nothing_outlives_the_supervisor", nothing_outlives_the_supervisor),
        trial("mismatches_are_refused_before_the_start", mismatches_are_refused_before_the_start),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

// The test components.

const ROUNDS: u64 = 5_000;
const PANIC: u64 = u64::MAX;

/// Answers calls with label + 1 and the words plus one, notifications with one.
struct Ponger {
    pinger: Channel,
    shared: SharedMemory,
    notified: u64,
}

impl Ponger {
    fn new(env: Environment) -> Result<Self, ConfigError> {
        let shared = SharedMemory::attach(env.region("shared")?);
        Ok(Self { pinger: env.channel("pinger")?, shared, notified: 0 })
    }
}

impl Component for Ponger {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        assert_eq!(channels.iter().collect::<Vec<_>>(), [self.pinger]);
        self.notified += 1;
        self.shared.write(0, &self.notified.to_le_bytes())?;
        Some(self.pinger)
    }

    fn protected(&mut self, channel: Channel, message: &mut Message) {
        assert_eq!(channel, self.pinger);
        if message.label == PANIC {
            panic!("as asked");
        }
        let words: Vec<_> = message.words().iter().map(|w| w + 1).collect();
        message.set(message.label + 1, &words);
    }
}

fn pinger(env: Environment) -> ! {
    let (pd, ponger) = (env.pd, env.channel("ponger").unwrap());
    let shared = SharedMemory::attach(env.region("shared").unwrap());
    let archive = SharedMemory::attach(env.region("archive").unwrap());
    let mut text = [0; 8];
    archive.read(0, &mut text).unwrap();
    assert_eq!(&text, b"prefill\0");
    assert!(env.region("registers").is_err(), "device registers do not exist here");
    if env.config.setting("mode") == Some("panic") {
        pd.call(ponger, &mut Message::new(PANIC));
    }
    for i in 1..=ROUNDS {
        let words: Vec<u64> = (0..i % 65).collect();
        let mut message = Message::from_words(i, &words);
        pd.call(ponger, &mut message);
        assert_eq!(message.label, i + 1);
        assert!(message.words().iter().copied().eq(1..i % 65 + 1));
        let mut got = pd.notify_and_wait(ponger);
        while !got.contains(ponger) {
            got = pd.wait();
        }
        let mut count = [0; 8];
        shared.read(0, &mut count).unwrap();
        assert_eq!(u64::from_le_bytes(count), i);
    }
    assert!(pd.poll().is_empty());
    pd.debug_write(b"pinger is done\n");
    idle(&env)
}

fn idle(env: &Environment) -> ! {
    loop {
        env.pd.wait();
    }
}

fn intruder(start: Start) -> ! {
    let env = start.env;
    match env.config.setting("mode") {
        Some("call") => env.pd.call(env.channel("idle").unwrap(), &mut Message::new(1)),
        Some("notify") => env.pd.notify(env.channel("idle").unwrap()),
        Some("nowhere") => env.pd.notify(Channel::new(60).unwrap()),
        _ => SharedMemory::attach(env.region("archive").unwrap()).write(0, b"mine now").unwrap(),
    }
    panic!("was let through");
}

/// Says how its children end.
struct Watcher(Environment);

impl Component for Watcher {
    fn notified(&mut self, _: ChannelSet) -> Option<Channel> {
        None
    }

    fn fault(&mut self, child: u8, fault: &Fault) {
        self.0.pd.debug_write(format!("child {child}: {fault}\n").as_bytes());
    }
}

// The systems.

const TWO: &str = r#"<system>
    <memory_region name="shared" size="0x200000" page_size="0x200000"/>
    <memory_region name="archive" prefill_path="archive.txt"/>
    <memory_region name="registers" size="0x1000" phys_addr="0x9000000"/>
    <memory_region name="pinger_config" size="0x1000" prefill_path="config/pinger.bin"/>
    <memory_region name="ponger_config" size="0x1000" prefill_path="config/ponger.bin"/>
    <protection_domain name="ponger" priority="20">
        <program_image path="ponger.elf"/>
        <map mr="ponger_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        <map mr="shared" vaddr="0x10_4000_0000" perms="rw"/>
    </protection_domain>
    <protection_domain name="pinger" priority="10">
        <program_image path="pinger.elf"/>
        <map mr="pinger_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        <map mr="shared" vaddr="0x10_4000_0000" perms="r"/>
        <map mr="archive" vaddr="0x10_8000_0000" perms="r"/>
        <map mr="registers" vaddr="0x10_c000_0000" perms="rw" cached="false"/>
    </protection_domain>
    <channel><end pd="pinger" id="7" pp="true"/><end pd="ponger" id="61"/></channel>
</system>"#;

const INTRUDER: &str = r#"<system>
    <memory_region name="archive" prefill_path="archive.txt"/>
    <memory_region name="intruder_config" size="0x1000" prefill_path="config/intruder.bin"/>
    <memory_region name="idle_config" size="0x1000" prefill_path="config/idle.bin"/>
    <protection_domain name="idle" priority="20">
        <program_image path="idle.elf"/>
        <map mr="idle_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
    </protection_domain>
    <protection_domain name="intruder" priority="10">
        <program_image path="intruder.elf"/>
        <map mr="intruder_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        <map mr="archive" vaddr="0x10_8000_0000" perms="r"/>
    </protection_domain>
    <channel><end pd="intruder" id="0" notify="false"/><end pd="idle" id="0"/></channel>
</system>"#;

const NESTED: &str = r#"<system>
    <memory_region name="archive" prefill_path="archive.txt"/>
    <memory_region name="watcher_config" size="0x1000" prefill_path="config/watcher.bin"/>
    <memory_region name="intruder_config" size="0x1000" prefill_path="config/intruder.bin"/>
    <memory_region name="idle_config" size="0x1000" prefill_path="config/idle.bin"/>
    <protection_domain name="watcher" priority="20">
        <program_image path="watcher.elf"/>
        <map mr="watcher_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        <protection_domain name="idle" id="61" priority="10">
            <program_image path="idle.elf"/>
            <map mr="idle_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        </protection_domain>
        <protection_domain name="intruder" id="0" priority="10">
            <program_image path="intruder.elf"/>
            <map mr="intruder_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
            <map mr="archive" vaddr="0x10_8000_0000" perms="r"/>
        </protection_domain>
    </protection_domain>
</system>"#;

/// Writes the system and its configurations into `folder`.
fn prepare(folder: &Path, system: &str, settings: &str) {
    fs::write(folder.join("archive.txt"), "prefill").unwrap();
    fs::write(folder.join("test.system"), system).unwrap();
    let mut system = System::parse(system, "test.system").unwrap();
    let settings = Settings::parse(settings, "test.toml").unwrap();
    system.resolve_prefill(&[folder.to_path_buf()]).unwrap();
    strait_system::write(&system, &settings, &folder.join("config")).unwrap();
}

/// A supervisor; it ends with the test.
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Supervisor {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.0.id()), signal).unwrap();
    }

    /// Waits for its end.
    fn finish(mut self) -> ExitStatus {
        let mut status = None;
        until("end of the run", || {
            status = self.ended();
            status.is_some()
        });
        status.unwrap()
    }
}

fn start(folder: &Path) -> Supervisor {
    start_with(folder, &[])
}

fn start_with(folder: &Path, options: &[&str]) -> Supervisor {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["run", "--system"])
        .arg(folder.join("test.system"))
        .arg("--build")
        .arg(folder)
        .args(options)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.join("stderr")).unwrap())
        .spawn()
        .unwrap();
    Supervisor(child)
}

fn said(folder: &Path) -> String {
    fs::read_to_string(folder.join("stderr")).unwrap()
}

/// Waits until `ready`; fails after a while.
fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn running(folder: &Path) -> Running {
    let mut text = String::new();
    until("hosted.json", || {
        text.clear();
        fs::File::open(folder.join("hosted.json")).is_ok_and(|mut f| f.read_to_string(&mut text).is_ok())
    });
    serde_json::from_str(&text).unwrap()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id as i32).unwrap()
}

fn gone(run: &Running) {
    until("end of all PDs", || run.pds.values().all(|id| test_kill_process(pid(*id)).is_err()));
}

/// Runs a system that ends by itself; returns what it said.
fn fails(system: &str, settings: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), system, settings);
    let status = start(folder.path()).finish();
    assert_eq!(status.code(), Some(1), "{}", said(folder.path()));
    assert!(!folder.path().join("hosted.json").exists());
    said(folder.path())
}

fn contains(text: &str, part: &str) {
    assert!(text.contains(part), "no `{part}` in: {text}");
}

// The tests.

fn calls_notifications_and_regions() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), TWO, "");
    let mut child = start(folder.path());
    let run = running(folder.path());
    assert_eq!(run.pds.keys().collect::<Vec<_>>(), ["pinger", "ponger"]);
    until("pinger", || {
        let text = said(folder.path());
        assert!(child.ended().is_none(), "{text}");
        text.contains("pinger is done")
    });
    child.signal(Signal::TERM);
    assert!(child.finish().success());
    gone(&run);
    assert!(!folder.path().join("hosted.json").exists());
    Ok(())
}

fn a_panic_ends_the_run_and_frees_the_caller() -> Result<(), Failed> {
    let text = fails(TWO, "[pinger]\nmode = \"panic\"");
    contains(&text, "PD `ponger`: panicked at");
    contains(&text, "as asked");
    contains(&text, "PD `ponger` panicked; the run is over");
    Ok(())
}

fn a_killed_server_ends_the_run() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), TWO, "");
    let child = start(folder.path());
    let run = running(folder.path());
    kill_process(pid(run.pds["ponger"]), Signal::KILL)?;
    assert_eq!(child.finish().code(), Some(1));
    contains(&said(folder.path()), "PD `ponger` was ended by signal 9");
    gone(&run);
    Ok(())
}

fn the_end_of_a_child_is_told_to_its_parent() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), NESTED, "");
    let mut child = start(folder.path());
    let run = running(folder.path());
    let says = |text: &str| until(text, || said(folder.path()).contains(text));
    says("child 0: memory fault at 0x1080000000, instruction 0x");
    says("PD `intruder` was ended by a memory fault");
    kill_process(pid(run.pds["idle"]), Signal::KILL)?;
    says("child 61: exit 137\n");
    assert!(child.ended().is_none());
    child.signal(Signal::TERM);
    assert!(child.finish().success());
    gone(&run);
    Ok(())
}

fn rights_are_enforced() -> Result<(), Failed> {
    contains(&fails(INTRUDER, "[intruder]\nmode = \"call\""), "allows no calls; it needs pp");
    contains(&fails(INTRUDER, "[intruder]\nmode = \"notify\""), "has notify=\"false\"");
    contains(&fails(INTRUDER, "[intruder]\nmode = \"nowhere\""), "channel 60 does not exist");
    contains(&fails(INTRUDER, ""), "PD `intruder` was ended by a memory fault");
    Ok(())
}

fn nothing_outlives_the_supervisor() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), TWO, "");
    let child = start(folder.path());
    let run = running(folder.path());
    child.signal(Signal::KILL);
    child.finish();
    gone(&run);
    Ok(())
}

fn mismatches_are_refused_before_the_start() -> Result<(), Failed> {
    let refused = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), TWO, "");
        change(folder.path());
        assert_eq!(start(folder.path()).finish().code(), Some(1));
        said(folder.path())
    };
    let edit = |from: &'static str, to: &'static str| {
        move |folder: &Path| fs::write(folder.join("test.system"), TWO.replace(from, to)).unwrap()
    };
    contains(&refused(&edit("0x10_4000_0000", "0x10_5000_0000")), "is older than");
    contains(&refused(&edit("id=\"61\"", "id=\"60\"")), "is older than");
    contains(&refused(&edit("ponger.elf", "other.elf")), "runs `other`, which this binary does not have");
    contains(&refused(&|folder| fs::remove_file(folder.join("config/pinger.bin")).unwrap()), "no configuration for PD");
    contains(&refused(&|folder| fs::remove_file(folder.join("archive.txt")).unwrap()), "archive.txt");
    Ok(())
}
