//! A progress bar on standard error, drawn only when something takes longer than a moment.

use super::output::Ui;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Work that is done sooner than this shows nothing.
const MOMENT: Duration = Duration::from_millis(700);

/// Counts bytes, and draws once it has taken long enough.
#[derive(Debug)]
pub(crate) struct Progress {
    can_draw: bool,
    title: &'static str,
    started: Instant,
    bar: RefCell<Option<ProgressBar>>,
}

impl Progress {
    /// A bar that is not yet visible.
    pub(crate) fn new(ui: &Ui, title: &'static str) -> Self {
        Self { can_draw: ui.can_draw(), title, started: Instant::now(), bar: RefCell::new(None) }
    }

    /// Shows that `done` of `total` bytes are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if !self.can_draw || self.started.elapsed() < MOMENT {
            return;
        }
        let mut bar = self.bar.borrow_mut();
        bar.get_or_insert_with(|| self.draw(total)).set_position(done);
    }

    fn draw(&self, total: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        // A template that does not parse would only cost its looks.
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}") {
            bar.set_style(style);
        }
        bar.set_message(self.title);
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
