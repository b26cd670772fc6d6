# SPDX-License-Identifier: Apache-2.0
# Prints what zsh makes of each line when Tab is pressed at its end, on a terminal of its own.
#   zsh -f tests/cli/complete.zsh SCRIPT LINE...     SCRIPT: of `trunkline completion zsh`
zmodload zsh/zpty
home=$(mktemp -d)
trap 'rm -rf $home' EXIT
cat > $home/.zshrc << RC
PROMPT=
autoload -Uz compinit && compinit -u -d $home/dump
source $1
ready() { : > $home/ready }
zle -N zle-line-init ready
show() { print -r -- "\$BUFFER|" > $home/part; mv $home/part $home/line; exit }
zle -N show
bindkey '^B' show
RC
wait_for() {
  local i
  for ((i = 0; i < 6000; ++i)); do
    [[ -e $1 ]] && return
    zpty -r -t shell > /dev/null
    sleep 0.01
  done
  print "zsh is silent"
  exit 1
}
for line in ${@:2}; do
  rm -f $home/ready $home/line
  zpty shell "exec env ZDOTDIR=$home TERM=vt100 zsh -i"
  wait_for $home/ready
  zpty -n -w shell $line$'\t\x02'
  wait_for $home/line
  cat $home/line
  zpty -d shell
done
