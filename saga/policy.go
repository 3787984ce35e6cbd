package saga

import "github.com/millrace-go/millrace/step"

// Policy says when a failed message is tried again; see [WithPolicy].
type Policy = step.Policy

// Mail is the schedule of mail servers: 5, 15 and 30 minutes, then every hour,
// given up after 4.9 days.
var Mail = step.Mail

// What a dead letter does to its run; see [OnDead].
const (
	LeaveOpen  = step.LeaveOpen  // nothing: the run stays open until the letter is requeued or discarded
	FailRun    = step.FailRun    // the run is failed, without undos
	Compensate = step.Compensate // the run fails, and its undos run
)
