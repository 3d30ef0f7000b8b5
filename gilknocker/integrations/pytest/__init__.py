"""What ``gilknocker.pytest_plugin`` does when it is asked to; imported only then.

`options` are the command line, the environment and the ini file; `marks` what is written at tests;
together they make a `plan` for each test. A `meter` carries it out around the test's body and gives
a `reading`, which `limits` judge. `session` puts these together and keeps the figures; `section`
prints them, `store` writes them to a file. `stalls` finds the test of each
stall. `fixtures` are what tests ask for by name.
"""
