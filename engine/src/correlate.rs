//! From anomalies to incidents: grouped by time and by paths in the graph, with the cause and the reasons.
