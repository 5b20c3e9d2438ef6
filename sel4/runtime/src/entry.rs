//! From the kernel's first instruction in the PD to the component.

use alloc::boxed::Box;
use core::fmt::Display;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

pub use sel4_microkit::Never;
use strait_abi::log::Logger;
use strait_pd::{Channel, Component, Config, Environment, Pd};

use crate::{Microkit, clock, run};

/// Bytes of the configuration region.
const CONFIG_SIZE: usize = 0x1000;

/// Address of the configuration region; the Microkit tool writes it into the
/// image (`setvar_vaddr="strait_config"`). Atomic only so that the compiler
/// does not take its initial value for granted.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
static strait_config: AtomicUsize = AtomicUsize::new(0);

/// What the panic handler logs with.
static LAST_WORDS: AtomicPtr<Environment> = AtomicPtr::new(ptr::null_mut());

/// Says why the PD ends where it says everything else; the console prints it
/// in release kernels too. Afterwards the PD traps and stays stopped.
fn last_words(info: &PanicInfo) {
    // Taken, so that a panic in here does not come back here.
    let environment = LAST_WORDS.swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: null, or a box that `environment` leaked, used once.
    match unsafe { environment.as_ref() } {
        Some(environment) => Logger::new(environment).line(format_args!("{info}")),
        None => sel4_microkit::debug_println!("{info}"),
    }
}

fn environment() -> Environment {
    sel4_microkit::panicking::set_hook(&last_words);
    clock::init();
    let base = strait_config.load(Ordering::Relaxed);
    if base == 0 {
        panic!("no configuration: map the region `<pd>_config` with setvar_vaddr=\"strait_config\"");
    }
    // SAFETY: the Microkit tool wrote the address of a region of this size that
    // is mapped for the life of the PD and that nobody writes to.
    let bytes = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(base), CONFIG_SIZE) };
    let config = match Config::decode(bytes) {
        Ok(config) => config,
        Err(e) => panic!("{e}"),
    };
    // An interrupt that was raised before the PD ran is otherwise never
    // delivered (seL4 issue 1536).
    for (_, id) in &config.irqs {
        if let Some(irq) = Channel::new(*id) {
            Microkit.irq_ack(irq);
        }
    }
    // SAFETY: the configuration was made from the system description by which
    // the Microkit tool mapped the regions; nothing unmaps them. Of the two
    // environments one is used only when the other no longer is.
    let (environment, last) =
        unsafe { (Environment::new(&Microkit, config.clone()), Environment::new(&Microkit, config)) };
    LAST_WORDS.store(Box::into_raw(Box::new(last)), Ordering::Relaxed);
    environment
}

/// Implementation of [`server!`](crate::server).
#[doc(hidden)]
pub fn __server<C: Component, E: Display>(main: impl FnOnce(Environment) -> Result<C, E>) -> Never {
    match main(environment()) {
        Ok(mut component) => run::serve(&mut component),
        Err(e) => panic!("cannot start: {e}"),
    }
}

/// Implementation of [`client!`](crate::client).
#[doc(hidden)]
pub fn __client(main: fn(Environment) -> !) -> Never {
    main(environment())
}
