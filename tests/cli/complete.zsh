# SPDX-License-Identifier: Apache-2.0
# Prints what zsh makes of a line when Tab is pressed at its end, on a terminal of its own.
#   zsh -f tests/cli/complete.zsh SCRIPT LINE     SCRIPT: of `trunkline completion zsh`
zmodload zsh/zpty
home=$(mktemp -d)
trap 'rm -rf $home' EXIT
cat > $home/.zshrc << RC
PROMPT=
autoload -Uz compinit && compinit -u -d $home/dump
source $1
ready() { : > $home/ready }
zle -N zle-line-init ready
show() { print -rn -- "\$BUFFER" > $home/part; mv $home/part $home/line; exit }
zle -N show
bindkey '^B' show
RC
zpty shell "exec env ZDOTDIR=$home TERM=vt100 zsh -i"
wait_for() {
  local i
  for ((i = 0; i < 600; ++i)); do
    [[ -e $1 ]] && return
    zpty -r -t shell > /dev/null
    sleep 0.05
  done
  print "zsh is silent"
  exit 1
}
wait_for $home/ready
zpty -n -w shell "$2"$'\t\x02'
wait_for $home/line
cat $home/line
