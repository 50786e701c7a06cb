"""The versions of the measures: another one makes their task due again everywhere."""

VERSION = "1"  #: of the task `quality`
DEFECTS_VERSION = "4"  #: of the detector that measures alone make, for the task `defects`
