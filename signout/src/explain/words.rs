//! Writes an explanation as lines of text.

use std::fmt::Write;

use crate::explain::{ExplainReport, Stage, StepResult, TokenReport};

/// Returns the whole report, as several lines.
#[must_use]
pub fn words(report: &ExplainReport, revocations_were_checked: bool) -> String {
    let mut out = ExplainText::default();
    out.line("request", &format!("{}: {}", report.request, report.access));
    for token in &report.tokens {
        out.token(token, revocations_were_checked);
    }
    if report.tokens.is_empty() {
        out.line("token", "none found");
    }
    for line in &report.log {
        out.line("log", line);
    }
    for record in &report.revoked_by {
        out.line("revoked by", record);
    }
    out.line("verdict", &report.outcome);
    if let Some(refusal) = &report.refusal {
        out.line("problem", &refusal.problem);
        out.line("remedy", refusal.remedy);
    }
    out.0
}

#[derive(Default)]
struct ExplainText(String);

impl ExplainText {
    fn line(&mut self, title: &str, text: &str) {
        let _ = writeln!(self.0, "{title:<12} {text}"); // writing to a String cannot fail
    }

    fn token(&mut self, token: &TokenReport, revocations_were_checked: bool) {
        self.line("token", &format!("in the {}", token.place));
        for step in &token.steps {
            let unchecked = step.stage == Stage::Revocation && !revocations_were_checked;
            let result = match step.result {
                StepResult::Passed if unchecked => "not checked: give --url for the service",
                StepResult::Passed => "ok",
                StepResult::Failed => "FAILED",
                StepResult::NotReached => "not reached",
            };
            let colon = if step.text.is_empty() { "" } else { ": " };
            let text = format!("{result}{colon}{}", step.text);
            self.line(&format!("  {}", name(step.stage)), &text);
        }
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Structure => "structure",
        Stage::Key => "key",
        Stage::Signature => "signature",
        Stage::Times => "times",
        Stage::Issuer => "issuer",
        Stage::Audience => "audience",
        Stage::Claims => "claims",
        Stage::Revocation => "revocation",
    }
}
