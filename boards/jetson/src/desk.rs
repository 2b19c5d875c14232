//! Takes lines, answers them, and tells the monitor.

use crate::Service;
use crate::frames::{Line, Read};
use crate::keep::{Keeper, hex};
use crate::teacher::Teacher;
use evenkeel_monitor::evidence::interval::disagreement;
use evenkeel_runtime::monitor::{Episode, Full, Monitor, Prediction, Raised, Source, Ticket};
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::snapshot::{Acknowledgement, DeviceKeys, Sealed, Stamp};
use evenkeel_runtime::{Model, Session};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::{Write, stdout};
use tracing::{info, warn};

/// Error of the bound on disagreement in the log.
const ALPHA: f64 = 0.05;

/// Model, monitor, and what is under way.
pub struct Desk<'m, 's> {
    model: &'m Model<'m>,
    session: Session<'m, 's>,
    /// The monitor.
    pub monitor: Monitor<'m, 's, Full>,
    teacher: Option<Teacher>,
    teacher_every: u32,
    device: u64,
    /// Tickets by the names that labels will use, the oldest first in `order`; as many as can be pending.
    waiting: HashMap<String, Ticket>,
    order: VecDeque<String>,
    slots: usize,
    episode: Option<(String, Episode)>,
    frames: u32,
    /// Something happened that must be durable at once.
    pub urgent: bool,
}

impl<'m, 's> Desk<'m, 's> {
    /// Nothing is under way yet.
    pub fn new(
        model: &'m Model<'m>,
        session: Session<'m, 's>,
        monitor: Monitor<'m, 's, Full>,
        teacher: Option<Teacher>,
        s: &Service,
    ) -> Self {
        Desk {
            model,
            session,
            monitor,
            teacher,
            teacher_every: s.teacher_every,
            device: s.device,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            slots: s.slots.into(),
            episode: None,
            frames: 0,
            urgent: false,
        }
    }

    /// Takes a line and answers it. A bad line is answered with what is wrong with it, and changes nothing.
    ///
    /// # Errors
    /// When nobody listens to the answers any more.
    pub fn take(&mut self, line: Read, keys: &DeviceKeys, newest: Stamp) -> Result<(), String> {
        let id = line.as_ref().ok().and_then(|l| l.id.clone());
        let answer = line.and_then(|line| self.answer(line, keys, newest)).unwrap_or_else(|e| {
            warn!("{e}");
            json!({"id": id, "error": e})
        });
        let mut out = stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|e| format!("standard output: {e}"))
    }

    fn answer(&mut self, mut line: Line, keys: &DeviceKeys, newest: Stamp) -> Result<Value, String> {
        if let Some(message) = &line.acknowledge {
            return self.acknowledge(message, keys, newest);
        }
        let source = source(line.source.as_deref())?;
        match line.values()? {
            Some(x) => self.frame(&line, &x, source),
            None => self.late_label(&line, source),
        }
    }

    fn frame(&mut self, line: &Line, x: &[f32], source: Source) -> Result<Value, String> {
        let group = self.group(line.group.as_deref());
        quantise_input(self.model, x, self.session.input_mut()).map_err(|e| e.to_string())?;
        self.session.run();
        let prediction = Prediction::from(&self.session);
        let mut raised = Raised::default();
        if self.episode.as_ref().map(|e| &e.0) != line.episode.as_ref() {
            self.end_episode();
        }
        match &line.episode {
            Some(name) => {
                if self.episode.is_none() {
                    let new = self.monitor.begin_episode(group).map_err(|e| e.to_string())?;
                    self.episode = Some((name.clone(), new));
                }
                if let Some((_, episode)) = &mut self.episode {
                    episode.observe(prediction);
                }
            }
            None => {
                let ticket = self.monitor.predict(group, prediction).map_err(|e| e.to_string())?;
                match (line.label, &line.id) {
                    (Some(truth), _) => raised = self.label(ticket, truth, source)?,
                    (None, Some(id)) => self.wait(id.clone(), ticket),
                    (None, None) => {}
                }
            }
        }
        self.compare(group, x, prediction)?;
        Ok(
            json!({"id": line.id, "class": prediction.class, "margin": prediction.margin, "alarms": self.alarms(raised)}),
        )
    }

    fn late_label(&mut self, line: &Line, source: Source) -> Result<Value, String> {
        let (Some(id), Some(truth)) = (&line.id, line.label) else {
            return Err("a line needs `x` or `file` (a frame), or `id` and `label` (its label)".to_owned());
        };
        if self.episode.as_ref().is_some_and(|(name, _)| name == id) {
            self.end_episode();
        }
        let ticket = self.waiting.remove(id).ok_or_else(|| format!("no prediction `{id}` waits for a label"))?;
        self.order.retain(|other| other != id);
        let raised = self.label(ticket, truth, source)?;
        Ok(json!({"id": id, "label": truth, "alarms": self.alarms(raised)}))
    }

    fn acknowledge(&mut self, digits: &str, keys: &DeviceKeys, newest: Stamp) -> Result<Value, String> {
        let bytes = hex(digits).ok_or("an acknowledgement is written in hexadecimal digits")?;
        let open = || {
            let acknowledgement = Acknowledgement::open(&Sealed::parse(&bytes)?, keys)?;
            acknowledgement.check(self.device, newest, self.monitor.common().acknowledged)?;
            Ok(acknowledgement.seq)
        };
        let seq = open().map_err(|e: evenkeel_runtime::snapshot::MessageError| e.to_string())?;
        self.monitor.acknowledge(seq);
        self.urgent = true;
        info!(seq, "alarms acknowledged");
        Ok(json!({"acknowledged": seq}))
    }

    fn label(&mut self, ticket: Ticket, truth: u16, source: Source) -> Result<Raised, String> {
        let raised = self.monitor.label(ticket, truth, source).map_err(|e| e.to_string())?;
        for (kind, group) in raised.iter() {
            let counts = self.monitor.cells().get(group).map(|c| c.counts).unwrap_or_default();
            warn!(group = self.name(group), correct = counts.correct, n = counts.n, "alarm: {}", kind.words());
        }
        self.urgent |= raised.any();
        Ok(raised)
    }

    /// Remembers a ticket; as the monitor does, forgets the oldest where there are too many.
    fn wait(&mut self, id: String, ticket: Ticket) {
        if self.waiting.insert(id.clone(), ticket).is_some() {
            self.order.retain(|other| *other != id);
        }
        self.order.push_back(id);
        if self.order.len() > self.slots
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
    }

    /// Counts the episode that is under way.
    pub fn end_episode(&mut self) {
        let Some((name, episode)) = self.episode.take() else { return };
        // Its group was known when it began.
        if let Ok(Some(ticket)) = self.monitor.end_episode(episode) {
            self.wait(name, ticket);
        }
    }

    /// Now and then, what the larger model says of the same frame.
    fn compare(&mut self, group: Option<usize>, x: &[f32], prediction: Prediction) -> Result<(), String> {
        self.frames = self.frames.wrapping_add(1);
        let Some(teacher) = self.teacher.as_ref().filter(|_| self.frames.is_multiple_of(self.teacher_every)) else {
            return Ok(());
        };
        if let Some(group) = group {
            let agreed = teacher.class(x)? == usize::from(prediction.class);
            self.monitor.shadow(group, agreed).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Saves and publishes. Gives the number of labelled events so far.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&mut self, keeper: &mut Keeper) -> Result<u32, String> {
        let seq = keeper.save(&mut self.monitor)?;
        self.urgent = false;
        info!(seq, events = self.monitor.common().events, "saved and published");
        Ok(self.monitor.common().events)
    }

    /// A line about each group.
    pub fn report(&self) {
        for (group, cell) in self.monitor.cells().iter().enumerate() {
            let (c, t) = (cell.counts, cell.traffic);
            info!(
                group = self.name(group),
                n = c.n,
                correct = c.correct,
                predictions = t.predictions(),
                expired = t.expired,
                disagreement_at_most = (t.shadowed > 0).then(|| disagreement(t.disagreed, t.shadowed, ALPHA)),
                "state"
            );
        }
    }

    fn alarms(&self, raised: Raised) -> Vec<String> {
        raised.iter().map(|(kind, group)| format!("{} {}", self.name(group), kind.words())).collect()
    }

    fn group(&self, name: Option<&str>) -> Option<usize> {
        let (_, floors) = self.model.monitor()?;
        floors.iter().position(|f| Some(self.model.name(f.name)) == name)
    }

    fn name(&self, group: usize) -> &'m str {
        let model: &'m Model<'m> = self.model;
        model.monitor().and_then(|(_, floors)| floors.get(group)).map_or("", |f| model.name(f.name))
    }
}

fn source(name: Option<&str>) -> Result<Source, String> {
    match name {
        None | Some("reference") => Ok(Source::Reference),
        Some("user") => Ok(Source::User),
        Some("outcome") => Ok(Source::Outcome),
        Some("complaint") => Ok(Source::Complaint),
        Some(other) => Err(format!("no source `{other}`: reference, user, outcome, complaint")),
    }
}
