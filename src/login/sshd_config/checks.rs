//! What else stops sshd: words that its program does not know, and what it checks when it has read everything
//! (LOGIN-15, LOGIN-16).

use super::reader::{Reader, SYNTAX, UNKNOWN};
use super::{Directive, Place};
use crate::error::Result;
use crate::fs::path::GuestPath;
use crate::login::Finding;
use crate::login::daemon::Release;
use crate::login::daemon::version::{Presence, presence_in_program};
use crate::login::line::{self, Line, Splitting};

impl Reader<'_> {
    /// Asks the program for the words that it must know (LOGIN-16).
    pub(super) fn look_into_program(&mut self) -> Result<()> {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = words.iter().map(|(word, ..)| word.as_str()).collect();
        let known = presence_in_program(self.fs, &self.config.daemon.program, &texts)?;
        let has_program = matches!(self.config.daemon.release, Release::Known(_));
        let known = known.filter(|_| has_program);
        for (index, (word, place, what, unsure)) in words.iter().enumerate() {
            let presence = known.as_ref().and_then(|known| known.get(index));
            match (presence, unsure) {
                (Some(Presence::Whole), _) => {}
                (Some(Presence::Absent), _) => {
                    let id = if *what == "keyword" { UNKNOWN } else { SYNTAX };
                    self.stops(id, place, &format!("it does not know the {what} {word}"));
                }
                // A keyword of a vendor: likely that the program is that vendor's.
                (Some(Presence::AsEnd) | None, None) => {
                    let message = format!("if sshd does not know {word}, it stops");
                    self.found(Finding::warn(UNKNOWN, place, message));
                }
                (Some(Presence::AsEnd) | None, Some(unsure)) => self.found(unsure.clone()),
            }
        }
        Ok(())
    }

    /// Before 9.5 a subsystem that is there already stops sshd.
    pub(super) fn check_subsystem(&mut self, line: &Line, place: &Place) {
        let name = line.arguments.first();
        let is_twice = self.config.directives_of("subsystem").any(|d| d.arguments.first() == name);
        if is_twice {
            let release = self.config.daemon.release;
            if release.at_least(9, 5) == Some(false) {
                self.fatal(place, "the subsystem is defined twice");
            } else {
                let message = "sshd before 9.5 stops at a subsystem that is defined twice";
                self.found(Finding::undecided(SYNTAX, place, message));
            }
        }
    }

    /// What sshd checks when it has read everything.
    pub(super) fn check_whole(&mut self) {
        for kind in ["authorizedkeyscommand", "authorizedprincipalscommand"] {
            let is_set = |directive: &&Directive| {
                directive.arguments.iter().any(|value| !value.eq_ignore_ascii_case(b"none"))
            };
            let command = self.config.global(kind).filter(is_set).map(|d| d.place.clone());
            if let Some(place) = command
                && self.config.global(&format!("{kind}user")).is_none()
            {
                self.fatal(&place, &format!("{kind} is set without {kind}user"));
            }
        }
        self.check_methods();
    }

    /// A list of methods must be possible at all; before 9.7 `any` must not come after other lists either.
    fn check_methods(&mut self) {
        let lines = self.config.at_start("authenticationmethods");
        let first = lines.take(1).map(|d| (d.place.clone(), d.arguments.clone())).next();
        if let Some((place, lists)) = &first {
            let can_be = |list: &Vec<u8>| {
                !list.split(|&byte| byte == b',').any(|method| self.is_method_off(method))
            };
            if !lists.iter().any(can_be) {
                self.fatal(place, "AuthenticationMethods names only methods that are switched off");
            }
        }
        let release = self.config.daemon.release;
        if !release.is_likely(8, 7) || release.is_likely(9, 7) {
            return;
        }
        let lines = self.config.directives_of("authenticationmethods");
        let lines: Vec<(Place, bool, bool)> = lines
            .map(|d| {
                let is_any = d.arguments.iter().any(|list| list == b"any");
                (d.place.clone(), self.config.is_always_active(d.block), is_any)
            })
            .collect();
        for (index, (place, ..)) in lines.iter().enumerate().filter(|(_, (.., is_any))| *is_any) {
            let before = lines.get(..index).unwrap_or_default();
            if before.iter().any(|(_, is_at_start, _)| *is_at_start) {
                self.fatal(place, "authenticationmethods: any does not stand alone");
            } else if !before.is_empty() {
                let message = "this any ends a connection if a block before it sets other methods";
                self.found(Finding::undecided(("conf-methods", "LOGIN-15"), place, message));
            }
        }
    }

    /// True if the global part switches a method off.
    fn is_method_off(&self, method: &[u8]) -> bool {
        let name = method.split(|&byte| byte == b':').next().unwrap_or_default();
        let (keyword, is_on) = match name {
            b"publickey" => ("pubkeyauthentication", true),
            b"password" => ("passwordauthentication", true),
            b"keyboard-interactive" => ("kbdinteractiveauthentication", true),
            b"hostbased" => ("hostbasedauthentication", false),
            b"gssapi-with-mic" => ("gssapiauthentication", false),
            _ => return false,
        };
        match self.config.global(keyword).and_then(|directive| directive.arguments.first()) {
            Some(value) => value.eq_ignore_ascii_case(b"no"),
            None => !is_on,
        }
    }

    /// Where the release is not known, a line that releases split differently decides nothing (LOGIN-14).
    pub(super) fn check_splitting(&mut self, path: &GuestPath, content: &[u8]) {
        if self.config.daemon.release.at_least(8, 7).is_some() {
            return;
        }
        let old = line::of_file(content, Splitting::Delimiters);
        let current = line::of_file(content, Splitting::Arguments);
        for ((number, old), (_, current)) in old.into_iter().zip(current) {
            let arguments = |text: &[u8], splitting| match line::split(text, splitting) {
                Ok(Some(line)) => Some(line.arguments),
                _ => None,
            };
            let old = arguments(&old, Splitting::Delimiters);
            if old != arguments(&current, Splitting::Arguments) {
                let place = Place { path: path.clone(), line: number };
                let message = "releases of sshd before and after 8.7 read this line differently";
                self.found(Finding::undecided(("conf-syntax", "LOGIN-14"), place, message));
            }
        }
    }
}
