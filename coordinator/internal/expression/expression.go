// Package expression evaluates the arithmetic expressions in n, the number of
// nodes, that users and configuration files give as time limits: 120, 60+n*2,
// (n/10+1)*30. It knows numbers, + - * / and parentheses, and nothing else.
package expression

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	maxLength = 256
	maxDepth  = 32
)

// Eval is the value of the expression for n nodes. The grammar:
//
//	sum     = product { ("+" | "-") product }
//	product = factor { ("*" | "/") factor }
//	factor  = ["-" | "+"] (number | "n" | "(" sum ")")
//	number  = digits ["." digits]
//
// Blanks are allowed everywhere but inside a number. Division is that of reals:
// n/2 is 1.5 for three nodes.
func Eval(text string, n int) (float64, error) {
	if len(text) > maxLength {
		return 0, fmt.Errorf("expression of %d characters: at most %d are allowed", len(text), maxLength)
	}
	p := &parser{text: text, n: float64(n)}
	v, err := p.sum(0)
	if err == nil && p.peek() != 0 {
		err = p.unexpected()
	}
	if err == nil && (math.IsInf(v, 0) || math.IsNaN(v)) {
		err = fmt.Errorf("its value for n=%d is not a number", n)
	}
	if err != nil {
		return 0, fmt.Errorf("expression %q: %w", text, err)
	}
	return v, nil
}

// parser is a recursive descent over the text that computes as it reads.
type parser struct {
	text string
	pos  int
	n    float64
}

// peek is the next character that is not blank, 0 at the end.
func (p *parser) peek() byte {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	if p.pos == len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

func (p *parser) unexpected() error {
	if p.peek() == 0 {
		return fmt.Errorf("it ends where a number, n or ( is needed")
	}
	return fmt.Errorf("unexpected %q at position %d: only numbers, n, + - * / and parentheses are known", p.text[p.pos], p.pos+1)
}

func (p *parser) sum(depth int) (float64, error) {
	v, err := p.product(depth)
	for err == nil {
		var w float64
		switch p.peek() {
		case '+':
			p.pos++
			w, err = p.product(depth)
			v += w
		case '-':
			p.pos++
			w, err = p.product(depth)
			v -= w
		default:
			return v, nil
		}
	}
	return 0, err
}

func (p *parser) product(depth int) (float64, error) {
	v, err := p.factor(depth)
	for err == nil {
		var w float64
		switch p.peek() {
		case '*':
			p.pos++
			w, err = p.factor(depth)
			v *= w
		case '/':
			p.pos++
			if w, err = p.factor(depth); err == nil && w == 0 {
				err = fmt.Errorf("division by zero")
			}
			v /= w
		default:
			return v, nil
		}
	}
	return 0, err
}

func (p *parser) factor(depth int) (float64, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("more than %d parentheses or signs inside each other", maxDepth)
	}
	switch c := p.peek(); {
	case c == '-':
		p.pos++
		v, err := p.factor(depth + 1)
		return -v, err
	case c == '+':
		p.pos++
		return p.factor(depth + 1)
	case c == '(':
		p.pos++
		v, err := p.sum(depth + 1)
		if err == nil && p.peek() != ')' {
			return 0, fmt.Errorf("a parenthesis is not closed")
		}
		p.pos++
		return v, err
	case c == 'n':
		p.pos++
		return p.n, nil
	case c >= '0' && c <= '9':
		return p.number()
	}
	return 0, p.unexpected()
}

func (p *parser) number() (float64, error) {
	start := p.pos
	for p.pos < len(p.text) && (p.text[p.pos] >= '0' && p.text[p.pos] <= '9' || p.text[p.pos] == '.') {
		p.pos++
	}
	v, err := strconv.ParseFloat(p.text[start:p.pos], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", p.text[start:p.pos])
	}
	return v, nil
}
