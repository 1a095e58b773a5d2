//! Exactly-once, in-order delivery between two incarnations: a pure state machine.
