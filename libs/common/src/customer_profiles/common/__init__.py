"""What every application has.

* `errors`: errors that a person must act on, and `cli`, which turns them into exit codes
* `launch`: starts a command, so that Ctrl-C prints one line from the first moment on
* `defaults`: the default of every setting
* `settings`: settings classes, their types (`setting_types`) and their base class (`base_settings`)
* `environ`: reads `.env` and the environment
* `logs`: logging as text or JSON; `console` and `progress`: what people see on a terminal
* `reports`: the writer of JSON reports
* `clock`: the current time

Only `settings`, `setting_types` and `base_settings` import pydantic. Rich is imported on first use.
"""
