//! Stories about the queue of transfers: a small language for what is said to it and what it says.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use bytehaul_schedule::transfers::{
    Action, Direction, End, Limit, Priority, Refused, Stop, TaskId, Transfers,
};

/// A line for each step: what is said to the queue, two spaces or more, what it says (`-`: nothing). Tasks are named by a
/// letter, which is their key, and a number. A queue takes three that wait.
pub(crate) fn check(story: &str) {
    let mut stage = Stage {
        transfers: Transfers::new().capacity(NonZeroUsize::new(3).unwrap()),
        names: BTreeMap::new(),
    };
    for line in story.trim().lines() {
        let (said, expected) = line.trim().split_once("  ").unwrap();
        let answer = stage.play(said);
        assert_eq!(answer, expected.trim(), "{said} in\n{story}");
    }
}

struct Stage {
    transfers: Transfers<String>,
    names: BTreeMap<TaskId, String>,
}

impl Stage {
    fn play(&mut self, said: &str) -> String {
        let words: Vec<_> = said.split(' ').collect();
        let done = match words[0] {
            "get" | "put" => self.enqueue(&words),
            "close" => self.transfers.close(),
            "limit" => {
                let limit = Limit::new(words[2].parse().unwrap()).unwrap();
                self.transfers.set_limit(direction(words[1]), limit)
            }
            verb => self.command(verb, self.id(words[1]), words.get(2).copied()),
        };
        let mut answers: Vec<_> = done
            .err()
            .map(|refused| self.refused(refused))
            .into_iter()
            .collect();
        while let Some(action) = self.transfers.poll_action() {
            answers.push(self.action(action));
        }
        if answers.is_empty() {
            "-".to_owned()
        } else {
            answers.join(", ")
        }
    }

    fn enqueue(&mut self, words: &[&str]) -> Result<(), Refused> {
        let (key, direction) = (words[1][..1].to_owned(), direction(words[0]));
        let id = match words.get(2).copied() {
            Some("paused") => self
                .transfers
                .enqueue_paused(key, direction, Priority::default()),
            other => self.transfers.enqueue(key, direction, priority(other)),
        }?;
        self.names.insert(id, words[1].to_owned());
        Ok(())
    }

    fn command(&mut self, verb: &str, id: TaskId, more: Option<&str>) -> Result<(), Refused> {
        match verb {
            "pause" => self.transfers.pause(id),
            "resume" => self.transfers.resume(id),
            "cancel" => self.transfers.cancel(id),
            "priority" => self.transfers.set_priority(id, priority(more)),
            "discarded" => self.transfers.discarded(id),
            "completed" => self.transfers.ended(id, End::Completed),
            "failed" => self.transfers.ended(id, End::Failed),
            "paused" => self.transfers.ended(id, End::Paused),
            "canceled" => self.transfers.ended(id, End::Canceled),
            verb => panic!("{verb}"),
        }
    }

    fn id(&self, name: &str) -> TaskId {
        let mut known = self.names.iter().filter(|(_, known)| *known == name);
        known.next().map_or(TaskId::from(1000), |(&id, _)| id)
    }

    fn refused(&self, refused: Refused) -> String {
        let code = refused.code();
        match refused {
            Refused::Duplicate { existing } => format!("{code} {}", self.names[&existing]),
            Refused::InvalidState { id, state } => format!("{code} {} {state}", self.names[&id]),
            Refused::Canceling(id) => format!("{code} {} canceling", self.names[&id]),
            refused => format!("{code} {refused}"),
        }
    }

    fn action(&self, action: Action) -> String {
        match action {
            Action::Start(id) => format!("start {}", self.names[&id]),
            Action::Stop(id, Stop::Pause) => format!("stop {} pause", self.names[&id]),
            Action::Stop(id, Stop::Cancel) => format!("stop {} cancel", self.names[&id]),
            Action::Discard(id) => format!("discard {}", self.names[&id]),
            Action::Notify(id, state) => format!("{} {state}", self.names[&id]),
            action => panic!("{action:?}"),
        }
    }
}

fn direction(word: &str) -> Direction {
    if word == "put" {
        Direction::Upload
    } else {
        Direction::Download
    }
}

fn priority(word: Option<&str>) -> Priority {
    Priority(word.map_or(0, |word| word.parse().unwrap()))
}
