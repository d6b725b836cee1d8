//! What has not happened yet: forecasts and time to breach.
