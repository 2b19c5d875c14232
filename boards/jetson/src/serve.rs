//! The service's loop: lines in, answers out, snapshots on the way.

use crate::desk::Desk;
use crate::frames;
use crate::keep::{Keeper, keys};
use crate::teacher::Teacher;
use crate::{STOP, Service};
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::monitor::{Config, Full, Monitor, self_test, words};
use evenkeel_runtime::snapshot::Identity;
use evenkeel_runtime::{Model, Session};
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tracing::{info, warn};

/// How often the service looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);

/// Runs until the input ends or a signal comes.
///
/// # Errors
/// When something that the service needs is missing or damaged, with what to do about it.
pub fn run(s: &Service) -> Result<(), String> {
    let at = |e: &dyn std::fmt::Display| format!("{}: {e}", s.model.display());
    let file = MappedFile::open(&s.model).map_err(|e| at(&e))?;
    let model = Model::from_bytes(file.bytes()).map_err(|e| at(&e))?;
    let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
    let mut session = Session::new(&model, bytemuck::cast_slice_mut(&mut arena)).map_err(|e| at(&e))?;
    let tested = self_test::run(&model, &mut session).map_err(|e| at(&e))?;
    let config = Config::of(&model).map_err(|e| at(&e))?.ok_or_else(|| {
        at(&"the file configures no monitor; make it with `evenkeel prune` under a contract on accuracy")
    })?;
    let teacher = s.teacher.as_ref().map(|path| Teacher::open(path, &model)).transpose()?;
    let keys = keys(&s.key)?;
    let identity = Identity { device: s.device, model: config.model, config: config.hash };
    let mut keeper = Keeper::open(&s.state, &s.outbox, keys.clone(), identity)?;

    let needed = words::<Full>(config.groups(), s.slots.into());
    let mut state = vec![0; needed];
    let recovered = keeper.recover(needed)?;
    let fits = |words: &Vec<u32>| Monitor::<Full>::new(config, &mut words.clone(), s.slots.into()).is_ok();
    let seq = match recovered {
        Some((words, seq)) if fits(&words) => {
            state = words;
            seq
        }
        Some((_, seq)) => {
            warn!("the saved state is of another model or configuration: its counters end here, new ones begin");
            keeper.renew()?;
            seq
        }
        None => 0,
    };
    let mut monitor = Monitor::<Full>::new(config, &mut state, s.slots.into()).map_err(|e| at(&e))?;
    monitor.restarted(seq);
    info!(model = %format!("{:08x}", config.model), config = %format!("{:08x}", config.hash), groups = config.groups(),
          events = monitor.common().events, seq, self_test = tested, "ready");

    let lines = match &s.frames {
        Some(folder) => frames::from_folder(folder)?,
        None => frames::from_stdin(),
    };
    let mut desk = Desk::new(&model, session, monitor, teacher, s);
    // Weak bits after a power cut, and the number of this run: what was recovered is saved anew before it is sent.
    let mut saved = desk.save(&mut keeper)?;
    loop {
        let line = match lines.recv_timeout(LOOK) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) if !STOP.load(Ordering::Relaxed) => continue,
            Err(_) => break,
        };
        desk.take(line, &keys, keeper.newest())?;
        if desk.urgent || desk.monitor.common().events.wrapping_sub(saved) >= s.every {
            saved = desk.save(&mut keeper)?;
        }
    }
    desk.end_episode();
    desk.save(&mut keeper)?;
    desk.report();
    Ok(())
}
