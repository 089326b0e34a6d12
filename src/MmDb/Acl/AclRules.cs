namespace Leither.MmDb.Acl;

/// <summary>What rules need that are given in several words: selectors written with blanks are put together again.</summary>
internal static class AclRules
{
    /// <summary>Joins the words between an opening parenthesis and its closing one.</summary>
    /// <returns>The rules, or null with the word whose parenthesis is not closed.</returns>
    public static List<string>? Join(IEnumerable<string> words, out string open)
    {
        List<string> rules = [];
        string? selector = null;
        open = "";
        foreach (string word in words)
        {
            if (selector is not null)
            {
                selector += " " + word;
                if (word.EndsWith(')'))
                {
                    rules.Add(selector);
                    selector = null;
                }
            }
            else if (word.StartsWith('(') && !word.EndsWith(')'))
            {
                open = selector = word;
            }
            else
            {
                rules.Add(word);
            }
        }

        return selector is null ? rules : null;
    }

    /// <summary>Tries a <c>user</c> line of the configuration, so that it is refused where it stands.</summary>
    /// <param name="words">The line, from the user's name.</param>
    /// <param name="before">The lines before it.</param>
    /// <returns>Null, or the error.</returns>
    public static string? Try(List<string> words, IEnumerable<IReadOnlyList<string>> before)
    {
        if (before.Any(line => line[0] == words[0]))
        {
            return Error(words[0], AclError.DuplicateUser);
        }

        if (Join(words.Skip(1), out string open) is not { } rules)
        {
            return $"Unmatched parenthesis in acl selector starting at '{open}'.";
        }

        var user = new AclUser(words[0], allChannels: false);
        foreach (string rule in rules)
        {
            if (user.Set(rule, allChannels: false) is var error && error != AclError.None)
            {
                return Error(rule, error);
            }
        }

        return null;
    }

    private static string Error(string what, AclError error) => $"Error in user declaration '{what}': {AclErrors.Text(error)}";
}
