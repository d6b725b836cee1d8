# Which remediation may be proposed, and which proposal may be carried out once a person agrees.
#
# Halo asks for data.halo.allow, data.halo.deny and data.halo.reasons. A proposal is allowed if allow is true and deny is
# empty. The input is documented in engine/src/decide/policy.rs.
package halo

import rego.v1

default allow := false

# Incidents that people feel, with a cause that is likely.
reasons contains msg if {
	input.severity in {"P1", "P2", "P3"}
	msg := sprintf("allow: an open %v incident points at %v", [input.severity, input.target])
}

# Predictions carry no severity: their confidence has to speak for them.
reasons contains msg if {
	input.severity == null
	input.confidence >= 0.6
	msg := sprintf("allow: %v is likely to cross its limit", [input.target])
}

allow if count(reasons) > 0

deny contains "deny: the kill switch is on" if input.kill_switch

deny contains msg if {
	input.actions_last_hour >= 3
	msg := sprintf("deny: %v actions on %v in the last hour, the limit is 3", [input.actions_last_hour, input.target])
}

deny contains msg if {
	input.confidence < 0.3
	msg := "deny: confidence in the cause is below 30 %"
}

deny contains "deny: the target's data is stale" if input.data_age_secs > 3600

deny contains "deny: a viewer cannot approve" if {
	input.stage == "approve"
	input.role == "viewer"
}

deny contains "deny: a high risk needs an admin" if {
	input.stage == "approve"
	input.risk == "high"
	input.role != "admin"
}
