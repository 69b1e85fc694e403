//! The table of verdicts, one row per case.

use crate::{
    evidence::{life::Life, record::Witness},
    scenario::flow::Expectation,
    verdict::{Case, Control, Kind, Reason, Verdict, judge},
};
use flowproof_wire::Observation as O;

const ANSWERED: Option<O> = Some(O::Answered { answers: vec![] });
const SILENT: Option<O> = Some(O::Silent);
const REFUSED: Option<O> = Some(O::Refused);
const PROHIBITED: Option<O> = Some(O::Unreachable { icmp_type: 3, icmp_code: 13 });
const CUT_SILENT: Option<O> = Some(O::Cut { reset: false });
const CUT_RESET: Option<O> = Some(O::Cut { reset: true });
const GARBLED: Option<O> = Some(O::Garbled);

fn servfail() -> O {
    O::DnsFailed { rcode: "SERVFAIL".into() }
}

fn no_memory() -> O {
    O::LocalError { errno: 12, call: "socket".into() }
}

#[test]
fn every_case_of_the_table() {
    use Control::{EndsWork as Ends, NeverWorked as No, SourceUnseen, TargetUnseen, Works as Yes};
    use Expectation::{Allow, Deny, Drop, Reject, Unspecified as Open};
    use Kind::{Inconclusive, Matched, Mismatched, Unproven, Unspecified};
    use Witness::{Absent, Arrived, NotArrived};
    #[rustfmt::skip]
    let rows = [
        // expected, saw, witness, control, verdict, reason
        (Allow, ANSWERED,    Arrived,    Yes, Matched,      Reason::Answered),
        (Allow, ANSWERED,    Arrived,    No,  Matched,      Reason::Answered),
        (Allow, ANSWERED,    Absent,     Yes, Matched,      Reason::Answered),
        (Allow, ANSWERED,    NotArrived, Yes, Inconclusive, Reason::AnsweredByAnother),
        (Allow, SILENT,      Arrived,    Yes, Mismatched,   Reason::AnswerLost),
        (Allow, CUT_SILENT,  Arrived,    Yes, Mismatched,   Reason::AnswerLost),
        (Allow, REFUSED,     Arrived,    Yes, Mismatched,   Reason::AnswerLost),
        (Allow, SILENT,      NotArrived, Yes, Mismatched,   Reason::Blocked),
        (Allow, REFUSED,     NotArrived, Yes, Mismatched,   Reason::Blocked),
        (Allow, PROHIBITED,  NotArrived, Yes, Mismatched,   Reason::Blocked),
        (Allow, CUT_RESET,   NotArrived, Yes, Mismatched,   Reason::Blocked),
        (Allow, SILENT,      Absent,     Yes, Mismatched,   Reason::Blocked),
        (Allow, SILENT,      NotArrived, No,  Inconclusive, Reason::AllowNeverWorked),
        (Allow, Some(servfail()),  Absent,     Yes, Inconclusive, Reason::DnsFailed),
        (Allow, Some(servfail()),  Absent,     No,  Inconclusive, Reason::DnsFailed),
        (Allow, GARBLED,     NotArrived, Yes, Inconclusive, Reason::Garbled),
        (Allow, Some(no_memory()), NotArrived, Yes, Inconclusive, Reason::LocalError),
        (Allow, None,        NotArrived, Yes, Inconclusive, Reason::NoAttempt),
        (Open,  ANSWERED,    Arrived,    Yes, Unspecified,  Reason::Answered),
        (Open,  ANSWERED,    Absent,     No,  Unspecified,  Reason::Answered),
        (Open,  ANSWERED,    NotArrived, Yes, Unspecified,  Reason::AnsweredByAnother),
        (Open,  SILENT,      NotArrived, No,  Unspecified,  Reason::Dropped),
        (Open,  SILENT,      Arrived,    Yes, Unspecified,  Reason::AnswerLost),
        (Open,  REFUSED,     NotArrived, Yes, Unspecified,  Reason::Rejected),
        (Open,  GARBLED,     NotArrived, Yes, Unspecified,  Reason::Garbled),
        (Open,  Some(servfail()), Absent, Yes, Unspecified, Reason::DnsFailed),
        (Open,  None,        NotArrived, Yes, Unspecified,  Reason::NoAttempt),
        (Deny,  SILENT,      NotArrived, Yes, Matched,      Reason::Dropped),
        (Deny,  SILENT,      Absent,     Yes, Matched,      Reason::Dropped),
        (Deny,  REFUSED,     NotArrived, Yes, Matched,      Reason::Rejected),
        (Deny,  PROHIBITED,  NotArrived, Yes, Matched,      Reason::Rejected),
        (Deny,  SILENT,      NotArrived, No,  Unproven,     Reason::ControlNeverWorked),
        (Deny,  REFUSED,     Absent,     No,  Unproven,     Reason::ControlNeverWorked),
        (Deny,  ANSWERED,    Arrived,    Yes, Mismatched,   Reason::NotEnforced),
        (Deny,  ANSWERED,    Arrived,    No,  Mismatched,   Reason::NotEnforced),
        (Deny,  ANSWERED,    NotArrived, Yes, Mismatched,   Reason::NotEnforced),
        (Deny,  ANSWERED,    Absent,     Yes, Mismatched,   Reason::NotEnforced),
        (Deny,  SILENT,      Arrived,    Yes, Mismatched,   Reason::OnlyAnswerBlocked),
        (Deny,  Some(no_memory()), Arrived,    No,  Mismatched,   Reason::OnlyAnswerBlocked),
        (Deny,  None,        Arrived,    Yes, Mismatched,   Reason::OnlyAnswerBlocked),
        (Deny,  CUT_RESET,   NotArrived, Yes, Mismatched,   Reason::HandshakeLetThrough),
        (Deny,  CUT_SILENT,  NotArrived, No,  Mismatched,   Reason::HandshakeLetThrough),
        (Deny,  Some(servfail()),  Absent,     Yes, Mismatched,   Reason::NotEnforced),
        (Deny,  GARBLED,     NotArrived, Yes, Inconclusive, Reason::Garbled),
        (Deny,  Some(no_memory()), NotArrived, Yes, Inconclusive, Reason::LocalError),
        (Deny,  None,        NotArrived, Yes, Inconclusive, Reason::NoAttempt),
        (Drop,  SILENT,      NotArrived, Yes, Matched,      Reason::Dropped),
        (Drop,  REFUSED,     NotArrived, Yes, Mismatched,   Reason::RejectedNotDropped),
        (Drop,  REFUSED,     NotArrived, No,  Unproven,     Reason::ControlNeverWorked),
        (Reject, REFUSED,    NotArrived, Yes, Matched,      Reason::Rejected),
        (Reject, PROHIBITED, NotArrived, Yes, Matched,      Reason::Rejected),
        (Reject, SILENT,     NotArrived, Yes, Mismatched,   Reason::DroppedNotRejected),
        (Reject, SILENT,     NotArrived, No,  Unproven,     Reason::ControlNeverWorked),
        (Allow, ANSWERED,    Arrived,    TargetUnseen, Matched, Reason::Answered),
        (Allow, SILENT,      NotArrived, Ends, Mismatched,  Reason::BlockedLive),
        (Allow, SILENT,      NotArrived, TargetUnseen, Inconclusive, Reason::TargetUnseen),
        (Allow, SILENT,      Absent,     SourceUnseen, Inconclusive, Reason::SourceUnseen),
        (Deny,  SILENT,      NotArrived, Ends, Matched,     Reason::Dropped),
        (Deny,  REFUSED,     NotArrived, Ends, Matched,     Reason::Rejected),
        (Drop,  REFUSED,     NotArrived, Ends, Mismatched,  Reason::RejectedNotDropped),
        (Deny,  SILENT,      NotArrived, TargetUnseen, Unproven, Reason::TargetUnseen),
        (Deny,  SILENT,      NotArrived, SourceUnseen, Unproven, Reason::SourceUnseen),
        (Deny,  ANSWERED,    Arrived,    TargetUnseen, Mismatched, Reason::NotEnforced),
    ];
    for (expectation, saw, witness, control, kind, reason) in rows {
        let case =
            Case { expectation, saw: saw.as_ref(), witness, control, life: Life::Alive, policed: true };
        assert_eq!(judge(&case), Verdict { kind, reason }, "{case:?}");
    }
}

#[test]
fn without_a_policy_a_flow_that_never_worked_is_a_mismatch() {
    let case = Case {
        expectation: Expectation::Allow,
        saw: SILENT.as_ref(),
        witness: Witness::NotArrived,
        control: Control::NeverWorked,
        life: Life::Alive,
        policed: false,
    };
    assert_eq!(judge(&case), Verdict { kind: Kind::Mismatched, reason: Reason::NeverWorked });
}

/// The second promise: whatever else happens, a broken end never yields *matched* for a deny, and only an arrival or an answer
/// can yield *mismatched*.
#[test]
fn a_broken_end_proves_nothing_but_what_arrived() {
    let observations = [
        None,
        ANSWERED,
        SILENT,
        REFUSED,
        PROHIBITED,
        CUT_SILENT,
        CUT_RESET,
        GARBLED,
        Some(servfail()),
        Some(no_memory()),
    ];
    for expectation in [Expectation::Allow, Expectation::Deny, Expectation::Drop, Expectation::Reject] {
        for saw in &observations {
            for witness in [Witness::Arrived, Witness::NotArrived, Witness::Absent] {
                for control in [Control::Works, Control::NeverWorked] {
                    let life = Life::Broken("the stream was lost".into());
                    let case = Case { expectation, saw: saw.as_ref(), witness, control, life, policed: true };
                    let through = matches!(saw, Some(O::Answered { .. } | O::DnsFailed { .. }))
                        || witness == Witness::Arrived;
                    match judge(&case).kind {
                        Kind::Matched => assert!(expectation == Expectation::Allow && through, "{case:?}"),
                        Kind::Mismatched => assert!(expectation.denies() && through, "{case:?}"),
                        Kind::Inconclusive => {}
                        Kind::Unspecified => panic!("it was expected to be something: {case:?}"),
                        Kind::Unproven => panic!("not even the denial is known: {case:?}"),
                    }
                }
            }
        }
    }
}
