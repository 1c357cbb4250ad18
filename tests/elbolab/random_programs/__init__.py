"""Random Pyro programs with known answers: a grammar, the exact answers, and the comparison of estimators with them.

program.py      what a program is: plates, sites, parameters, data
grammar.py      a program for every seed
landmarks.py    programs that went wrong once, each with the reason in its name
source.py       a program as readable Pyro code that runs by itself
exact.py        its ELBO and multi-sample bounds, by enumeration and quadrature, without Pyro
claims.py       what every estimator claims: for which bound its value and its gradients are
comparison.py   an estimator on a program: right, refused, or a failure that prints itself
"""
