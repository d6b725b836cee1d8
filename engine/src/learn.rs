//! What people's feedback and outcomes teach: thresholds per metric class, trust in playbooks.
